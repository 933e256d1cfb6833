//! The counters: one stretch of address space, with a row of 4 MiB per CPU. A counter has the same
//! place in every row; its id is its address in the first.
//!
//! Threads without `rseq` share a row, and a barrier waits for them (`visits`): the rare thread
//! that another library has registered, that a filter of system calls forbids to register, or that
//! counts in its very last destructors.
//!
//! `unsafe` in this module: mapping memory, and access to what is mapped.

use core::ptr;
use core::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;

use super::rseq;
use crate::per_cpu::{CounterMap, PerCpuGate};
use crate::state::{CounterId, Unavailable};
use crate::visits::Visits;

/// A row is 2^22 bytes long. A page becomes memory, near its CPU, when that first writes it.
pub(super) const ROW_SHIFT: u32 = 22;

/// As `HostPlatform` says.
const COUNTERS: usize = 524_288;
const _: () = assert!(COUNTERS * size_of::<AtomicI64>() == 1 << ROW_SHIFT);

static USED: CounterMap<{ COUNTERS / u64::BITS as usize }> = CounterMap::new();

/// Where the first row begins, once the process is prepared. It stays mapped.
static FIRST_ROW: AtomicUsize = AtomicUsize::new(0);

fn first_row() -> usize {
    // Relaxed: pairs with nothing; `prepare` is done, once, before a counter is asked for.
    FIRST_ROW.load(Ordering::Relaxed)
}

/// [`PerCpu::allocate`](crate::PerCpuPlatform::allocate), in a process that is prepared.
pub(super) fn allocate() -> Result<CounterId, Unavailable> {
    let counter = USED.reserve().ok_or(Unavailable::Exhausted(COUNTERS))?;
    Ok(CounterId::new(first_row() + counter * size_of::<AtomicI64>()))
}

/// Gives one back that is zero in all rows.
///
/// # Safety
/// As for [`PerCpu::free`](crate::PerCpuPlatform::free).
pub(super) unsafe fn free(counter: CounterId) {
    USED.free((counter.get() - first_row()) / size_of::<AtomicI64>());
}

/// Threads (and signal handlers on top of them) between their look and their add.
static ADDING: Visits = Visits::new();

/// [`PerCpu::add_if_open`](crate::PerCpuPlatform::add_if_open), for threads without `rseq`.
pub(super) fn add_unregistered(gate: &PerCpuGate, n: i64) -> bool {
    let adding = ADDING.begin();
    let open = gate.is_open();
    if open {
        // Relaxed: pairs with nothing; the barrier orders it, which waits for this visit.
        at(gate.counter(), rseq::cpus()).fetch_add(n, Ordering::Relaxed);
    }
    adding.end();
    open
}

/// A part of a barrier: returns when those that may have looked before have added. One at a time.
pub(super) fn wait_for_unregistered() {
    // One of them may have been interrupted there.
    ADDING.wait(thread::yield_now);
}

/// The counter in this row.
pub(super) fn at(counter: CounterId, row: usize) -> &'static AtomicI64 {
    assert!(row <= rseq::cpus(), "no CPU has the number {row}");
    let address = counter.get() + (row << ROW_SHIFT);
    let counter = ptr::with_exposed_provenance::<AtomicI64>(address);
    // SAFETY: a counter's id is an aligned address in the first row, and all rows stay mapped.
    unsafe { &*counter }
}

/// Maps the rows, which hold zeroes. Once, after [`rseq::prepare`].
pub(super) fn prepare() -> Result<(), Unavailable> {
    let length = (rseq::cpus() + 1) << ROW_SHIFT;
    // SAFETY: a new mapping disturbs nothing.
    let mapped = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(Unavailable::Unsupported(
            "no address space for the counters, 4 MiB per CPU (`ulimit -v`, `ulimit -d`, \
             vm.overcommit_memory); use CacheAwareRundown",
        ));
    }
    // A huge page (2 MiB) would be memory for a quarter of a million counters as soon as one is
    // used. (A kernel without huge pages refuses this.)
    // SAFETY: just mapped.
    unsafe { libc::madvise(mapped, length, libc::MADV_NOHUGEPAGE) };
    // Relaxed: pairs with nothing, see `first_row`.
    FIRST_ROW.store(mapped.expose_provenance(), Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::barrier::barrier;
    use super::*;
    use core::mem;
    use core::sync::atomic::AtomicBool;
    use core::time::Duration;
    use std::collections::HashSet;
    use std::sync::{Mutex, PoisonError};
    use std::time::Instant;
    use std::vec::Vec;

    #[test]
    fn counters_come_back() {
        if crate::HostPlatform::per_cpu().is_err() {
            return;
        }
        let counters: Vec<_> =
            (0..20_000).map(|_| allocate().expect("there are half a million")).collect();
        let different: HashSet<_> = counters.iter().collect();
        let many = different.len();
        assert_eq!(many, counters.len());
        for counter in &counters {
            // The last row ends where the mapping does.
            assert_eq!(at(*counter, rseq::cpus()).load(Ordering::Relaxed), 0);
        }
        for counter in counters {
            // SAFETY: allocated above, and used no more.
            unsafe { free(counter) };
        }
        // Other tests have some of their own.
        assert!(USED.racy_in_use() < many);
    }

    /// Barriers of one test would wait for what another one holds, and turn its newcomers.
    static ALONE: Mutex<()> = Mutex::new(());

    /// There is no moment in which nothing adds.
    #[test]
    fn newcomers_hold_up_no_barrier() {
        if crate::HostPlatform::per_cpu().is_err() {
            return;
        }
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = AtomicBool::new(false);
        thread::scope(|scope| {
            let closer = scope.spawn(|| {
                while !begun.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
                for _ in 0..20 {
                    barrier();
                }
            });
            let start = Instant::now();
            let mut before = ADDING.begin();
            begun.store(true, Ordering::Relaxed);
            while !closer.is_finished() && start.elapsed() < Duration::from_secs(60) {
                let next = ADDING.begin();
                mem::replace(&mut before, next).end();
            }
            let finished = closer.is_finished();
            before.end();
            assert!(finished, "barriers wait for those who come later");
        });
    }

    /// Also for one that counts itself where an old index led it.
    #[test]
    fn a_barrier_waits_in_both_numbers() {
        if crate::HostPlatform::per_cpu().is_err() {
            return;
        }
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // Each twice in a row: not by chance the one that a single flip would have left.
        for index in [0, 0, 1, 1] {
            let adding = ADDING.begin_on(index);
            thread::scope(|scope| {
                let closer = scope.spawn(barrier);
                thread::sleep(Duration::from_millis(50));
                let early = closer.is_finished();
                adding.end();
                assert!(!early, "the barrier has not waited");
            });
        }
    }
}
