//! Threads without `rseq`: they share a row of counters, and a barrier waits for them.
//!
//! This is for the rare thread that another library has registered, that a filter of system calls
//! forbids to register, or that counts in its very last destructors: slower, but right.
//!
//! A barrier waits for those that came before it only, however many come after: see `visits`.

use std::thread;

use super::{counters, rseq};
use crate::per_cpu::PerCpuGate;
use crate::visits::Visits;

/// Threads (and signal handlers on top of them) between their look and their add.
static ADDING: Visits = Visits::new();

/// [`PerCpu::add_if_open`](crate::PerCpuPlatform::add_if_open), for any thread.
pub(super) fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
    let adding = ADDING.begin();
    let open = gate.is_open();
    if open {
        counters::add(gate.counter(), rseq::cpus(), n);
    }
    adding.end();
    open
}

/// This part of a barrier: returns when those that may have looked before the call have added. One
/// call at a time (the barrier has one round at a time).
pub(super) fn wait() {
    // One of them may have been interrupted there.
    ADDING.wait(thread::yield_now);
}

#[cfg(test)]
mod tests {
    use super::super::barrier::barrier;
    use super::*;
    use core::mem;
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::time::Duration;
    use std::sync::{Mutex, PoisonError};
    use std::time::Instant;

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
