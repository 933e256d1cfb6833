//! Threads without `rseq`: they share a row of counters, and a barrier waits for them.
//!
//! This is for the rare thread that another library has registered, that a filter of system calls
//! forbids to register, or that counts in its very last destructors: slower, but right.

use core::sync::atomic::{AtomicUsize, Ordering, fence};
use std::thread;

use super::{counters, rseq};
use crate::per_cpu::CounterId;
use crate::switch::Switch;

/// How many threads (and signal handlers on top of them) are between their look and their add.
static ADDING: AtomicUsize = AtomicUsize::new(0);

/// [`PerCpu::add_if_open`](crate::PerCpu::add_if_open), for any thread.
pub(super) fn add_if_open(switch: &Switch, counter: CounterId, n: i64) -> bool {
    // Relaxed: pairs with the Acquire in `wait` by the fence.
    ADDING.fetch_add(1, Ordering::Relaxed);
    // SeqCst: pairs with the fence in `wait`: either the barrier sees this thread and waits for it, or
    // this thread sees what was closed before the barrier.
    fence(Ordering::SeqCst);
    let open = switch.is_open();
    if open {
        counters::add(counter, rseq::cpus(), n);
    }
    // Release: pairs with the Acquire in `wait`: the add is before the end of the barrier.
    ADDING.fetch_sub(1, Ordering::Release);
    open
}

/// This part of a barrier: returns when those who may have looked before the call have added.
pub(super) fn wait() {
    // SeqCst: pairs with the fence in `add_if_open`.
    fence(Ordering::SeqCst);
    // Acquire: pairs with the Release in `add_if_open`.
    while ADDING.load(Ordering::Acquire) != 0 {
        // One of them may have been interrupted there.
        thread::yield_now();
    }
}
