//! Where the counters are: in regions of address space, each with a row of 64 KiB per CPU. A counter has
//! the same place in every row; its id is its address in the first. Rows begin at multiples of their
//! length.
//!
//! Threads without `rseq` share a row, and a barrier waits for them: the rare thread that another library has
//! registered, that a filter of system calls forbids to register, or that counts in its very last
//! destructors. That is slower, but right. A barrier waits for those that came before it only, however many
//! come after: see `visits`.
//!
//! `unsafe` in this module: mapping memory, and access to what is mapped.

use core::ptr;
use core::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;

use super::rseq;
use crate::ids::{CounterId, Unavailable};
use crate::per_cpu::{CounterMap, PerCpuGate};
use crate::visits::Visits;

/// A row is 2^16 bytes long. A page is memory only once it was written: by the CPU whose row it is in,
/// for the first time, hence in the memory near that CPU.
pub(super) const ROW_SHIFT: u32 = 16;
const ROW: usize = 1 << ROW_SHIFT;

/// How many counters a region has.
const IN_REGION: usize = ROW / size_of::<AtomicI64>();

/// The regions' addresses, 0 until they are mapped. They stay for ever.
static REGIONS: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

// As `HostPlatform` says.
const _: () = assert!(REGIONS.len() * IN_REGION == 524_288);

/// Half a million counters: those of the first region first.
static USED: CounterMap<{ REGIONS.len() * IN_REGION / u64::BITS as usize }> = CounterMap::new();

/// [`PerCpu::allocate`](crate::PerCpuPlatform::allocate).
pub(super) fn allocate() -> Result<CounterId, Unavailable> {
    let counter = USED
        .reserve()
        .ok_or(Unavailable::Exhausted(REGIONS.len() * IN_REGION))?;
    match address(counter / IN_REGION) {
        Ok(base) => {
            let offset = counter % IN_REGION * size_of::<AtomicI64>();
            Ok(CounterId::new(base + offset))
        }
        Err(unavailable) => {
            USED.free(counter);
            Err(unavailable)
        }
    }
}

/// [`PerCpu::free`](crate::PerCpuPlatform::free).
///
/// # Safety
/// As there.
pub(super) unsafe fn free(counter: CounterId) {
    for row in 0..=rseq::cpus() {
        clear(counter, row);
    }
    let offset = counter.get() % ROW;
    let base = counter.get() - offset;
    // Relaxed: pairs with nothing; the owner of a counter has seen its region's address.
    let is_its = |region: &AtomicUsize| region.load(Ordering::Relaxed) == base;
    let region = REGIONS.iter().position(is_its);
    let region = region.expect("a counter is in a region");
    USED.free(region * IN_REGION + offset / size_of::<AtomicI64>());
}

/// What the counter has in this row.
pub(super) fn count(counter: CounterId, row: usize) -> i64 {
    // Relaxed: pairs with nothing; the barrier orders it, or it is racy.
    at(counter, row).load(Ordering::Relaxed)
}

/// Sets it to zero in this row.
pub(super) fn clear(counter: CounterId, row: usize) {
    // What is zero already, no CPU's cache need be disturbed for, nor memory be found.
    if count(counter, row) != 0 {
        // Relaxed: pairs with nothing, the caller publishes it.
        at(counter, row).store(0, Ordering::Relaxed);
    }
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

/// This part of a barrier: returns when those that may have looked before the call have added. One
/// call at a time (the barrier has one round at a time).
pub(super) fn wait_for_unregistered() {
    // One of them may have been interrupted there.
    ADDING.wait(thread::yield_now);
}

fn at(counter: CounterId, row: usize) -> &'static AtomicI64 {
    assert!(row <= rseq::cpus(), "no CPU has the number {row}");
    let address = counter.get() + (row << ROW_SHIFT);
    let counter = ptr::with_exposed_provenance::<AtomicI64>(address);
    // SAFETY: an allocated counter's id is an address in a region's first row, aligned, and the row is
    // there; regions stay mapped.
    unsafe { &*counter }
}

/// The region's address: maps it the first time.
fn address(region: usize) -> Result<usize, Unavailable> {
    // Acquire: pairs with the Release below.
    let base = REGIONS[region].load(Ordering::Acquire);
    if base != 0 {
        return Ok(base);
    }
    let length = (rseq::cpus() + 1) * ROW + ROW;
    let mapped = map(length)?;
    let base = mapped.next_multiple_of(ROW);
    // Release: pairs with the Acquire above, and with this one of another thread: what is mapped
    // is there for a thread that finds it.
    let installed = REGIONS[region].compare_exchange(0, base, Ordering::Release, Ordering::Acquire);
    match installed {
        Ok(_) => Ok(base),
        Err(other) => {
            // SAFETY: just mapped, and nothing knows of it.
            unsafe { libc::munmap(ptr::with_exposed_provenance_mut(mapped), length) };
            Ok(other)
        }
    }
}

/// Zeroes, as many bytes, at any address.
fn map(length: usize) -> Result<usize, Unavailable> {
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
            "no address space for more counters, 64 KiB per CPU (see `ulimit -v`)",
        ));
    }
    // A huge page (2 MiB) would be shared by 32 CPUs' rows, near one of them. A wish: a kernel without
    // huge pages refuses it.
    // SAFETY: just mapped.
    unsafe { libc::madvise(mapped, length, libc::MADV_NOHUGEPAGE) };
    Ok(mapped.expose_provenance())
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
    fn counters_of_many_regions_come_back() {
        if crate::HostPlatform::per_cpu().is_err() {
            return;
        }
        // More than two regions have.
        let counters: Vec<_> = (0..20_000)
            .map(|_| allocate().expect("there are half a million"))
            .collect();
        let different: HashSet<_> = counters.iter().collect();
        assert_eq!(different.len(), counters.len());
        let mut regions = HashSet::new();
        for counter in &counters {
            regions.insert(counter.get() - counter.get() % ROW);
            // The last row ends where the mapping does, or before.
            assert_eq!(count(*counter, rseq::cpus()), 0);
        }
        assert!(regions.len() >= 3);
        for counter in counters {
            // SAFETY: allocated above, and used no more.
            unsafe { free(counter) };
        }
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
