//! Threads without `rseq`: they share a row of counters, and a barrier waits for them.
//!
//! This is for the rare thread that another library has registered, that a filter of system calls
//! forbids to register, or that counts in its very last destructors: slower, but right.
//!
//! A barrier waits for those who came before it only, however many come after. For that there are two
//! numbers of threads that are adding, and an index that says in which of them a thread counts itself:
//! a barrier turns the newcomers to the other number, and the one that they left runs out. (Linux's
//! sleepable RCU, `kernel/rcu/srcutree.c`, waits in this way for its readers.)

use core::sync::atomic::{AtomicUsize, Ordering, fence};
use std::thread;

use super::{counters, rseq};
use crate::per_cpu::PerCpuGate;

/// How many threads (and signal handlers on top of them) are between their look and their add.
static ADDING: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// In which of [`ADDING`] those who come now count themselves: 0 or 1.
static INDEX: AtomicUsize = AtomicUsize::new(0);

/// [`PerCpu::add_if_open`](crate::PerCpuPlatform::add_if_open), for any thread.
pub(super) fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
    let adding = begin();
    let open = gate.is_open();
    if open {
        counters::add(gate.counter(), rseq::cpus(), n);
    }
    end(adding);
    open
}

/// Before the look: from here on barriers wait for the caller. Returns where it is counted.
fn begin() -> &'static AtomicUsize {
    // Relaxed: pairs with the flip in `wait` and orders nothing. `wait` is right whatever is read here;
    // an old index costs it time, once per thread. A signal handler reads for itself.
    let adding = &ADDING[INDEX.load(Ordering::Relaxed)];
    // Relaxed: pairs with the Acquire in `wait` by the fence.
    adding.fetch_add(1, Ordering::Relaxed);
    // SeqCst: pairs with the fence in `wait`: either the barrier sees this thread and waits for it, or
    // this thread sees what was closed before the barrier.
    fence(Ordering::SeqCst);
    adding
}

/// After the add.
fn end(adding: &AtomicUsize) {
    // Release: pairs with the Acquire in `wait`: the add is before the end of the barrier.
    adding.fetch_sub(1, Ordering::Release);
}

/// This part of a barrier: returns when those who may have looked before the call have added. One call
/// at a time (the barrier has one round at a time): two could turn the newcomers back and forth, so that
/// neither number runs out.
pub(super) fn wait() {
    // SeqCst: pairs with the fence in `add_if_open`.
    fence(Ordering::SeqCst);
    // Twice, so that each number has been 0 once since the fence. Once is not enough: a thread may have
    // read the index before an earlier barrier's flip and counted itself after that barrier had seen a
    // 0. It is then in the number that the index does not name, and this barrier's first flip leads to it
    // instead of away.
    for _ in 0..2 {
        // Relaxed: pairs with the load of the index in `add_if_open`, and orders nothing.
        let left = &ADDING[INDEX.fetch_xor(1, Ordering::Relaxed)];
        // Acquire: pairs with the Release in `add_if_open`.
        while left.load(Ordering::Acquire) != 0 {
            // One of them may have been interrupted there.
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::barrier::barrier;
    use super::*;
    use core::sync::atomic::AtomicBool;
    use core::time::Duration;
    use std::sync::{Mutex, PoisonError};
    use std::time::Instant;

    /// Barriers of one test would wait for what another one holds, and turn its newcomers.
    static ALONE: Mutex<()> = Mutex::new(());

    /// There is no moment in which nobody adds.
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
            let mut before = begin();
            begun.store(true, Ordering::Relaxed);
            while !closer.is_finished() && start.elapsed() < Duration::from_secs(60) {
                let next = begin();
                end(before);
                before = next;
            }
            let finished = closer.is_finished();
            end(before);
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
            let adding = &ADDING[index];
            adding.fetch_add(1, Ordering::Relaxed);
            thread::scope(|scope| {
                let closer = scope.spawn(barrier);
                thread::sleep(Duration::from_millis(50));
                let early = closer.is_finished();
                end(adding);
                assert!(!early, "the barrier has not waited");
            });
        }
    }
}
