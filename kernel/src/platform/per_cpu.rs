//! Per-CPU counters for `rundown`: what an implementation of [`PerCpuPlatform`] takes, on x86-64.
//!
//! 1. **Counters.** Every CPU has an area of the same layout, and GS points to the running CPU's. A
//!    counter is 8 bytes at the same offset in all, which is its name ([`counters`]).
//! 2. **The sequence.** [`gs::add_if_open`] tests the state word and adds to `gs:[offset]`. Where
//!    each sequence starts and ends is in a table that the linker puts together.
//! 3. **Restarts.** Every interrupt, exception and NMI asks [`gs::restart_point`] about the
//!    interrupted instruction; inside a sequence, it returns to the sequence's start
//!    (`interrupts::dispatch`).
//! 4. **The barrier.** An interrupt to every other CPU, and the wait until all have answered
//!    ([`barrier`](crate::barrier), on [`Rounds`](rundown::per_cpu::Rounds)).
//! 5. **Where it is illegal.** In an NMI handler, since the code below it may be about to send the
//!    very interrupt that the barrier would wait for.
//!    [`check_barrier`](PerCpuPlatform::check_barrier) is asked before an object closes, so the
//!    call returns an error and the object stays open.
//!
//! `unsafe` in this module: the promises of the trait.

use core::sync::atomic::Ordering;

use rundown::{CounterId, IllegalContext, PerCpuGate, PerCpuPlatform, Unavailable, per_cpu::gs};

use super::KernelPlatform;
use crate::{
    barrier,
    cpu::{self, counters},
    per_cpu,
};

// SAFETY: the sequence is `gs`'s: GS points to the running CPU's area, where the counter lies;
// `interrupts::dispatch` restarts it if interrupted. Threads stay on their CPU. `barrier::all`
// returns when every CPU was interrupted, or called `serve`, which no sequence does.
unsafe impl PerCpuPlatform for KernelPlatform {
    /// Any CPU, thread or interrupt context, not NMI.
    fn allocate() -> Result<CounterId, Unavailable> {
        let offset = counters::alloc().map_err(Unavailable::Exhausted)?;
        Ok(CounterId::new(offset))
    }

    unsafe fn free(counter: CounterId) {
        counters::free(counter.get());
    }

    fn cpus() -> usize {
        // Not `enabled`: CPUs that are plugged in later count, too.
        cpu::possible()
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        // A CPU that has never run has counted nothing. One that has run got its area before the
        // barrier that the caller has passed.
        if cpu >= per_cpu::areas() {
            return 0;
        }
        // Relaxed: the barrier orders it, or it is racy.
        counters::slot(counter.get(), cpu).load(Ordering::Relaxed)
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        // SAFETY: as for this function.
        unsafe { Self::count(counter, cpu::current().get()) }
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        if cpu >= per_cpu::areas() {
            return;
        }
        let count = counters::slot(counter.get(), cpu);
        // Most are zero, and reading leaves the line with its CPU. Relaxed: published by the
        // caller, which opens the object.
        if count.load(Ordering::Relaxed) != 0 {
            count.store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        // SAFETY: an open gate's counter lies at its offset in every area, aligned.
        unsafe { gs::add_if_open(gate, n) }
    }

    fn check_barrier() -> Result<(), IllegalContext> {
        barrier::is_legal().then_some(()).ok_or(IllegalContext)
    }

    fn barrier() {
        barrier::all();
    }
}
