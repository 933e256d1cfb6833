//! Per-CPU counters for `rundown`: the kernel's own, and its barrier.
//!
//! `unsafe` in this module: the promises of the trait.

use core::sync::atomic::Ordering;

use rundown::{CounterId, PerCpu, Switch, Unavailable, per_cpu::gs};

use super::KernelPlatform;
use crate::{
    barrier,
    cpu::{
        self,
        counters::{self, Counter, Exhausted},
    },
};

// The number of a counter is its offset in every CPU's area.
//
// SAFETY: the sequence is the one of `gs`: GS points to the running CPU's area, where the counter lies;
// `interrupts::dispatch` restarts it if it was interrupted. Threads do not move to other CPUs. And
// `barrier::all` returns when every CPU has been interrupted, or called `serve`, which no sequence
// does.
unsafe impl PerCpu for KernelPlatform {
    /// Any CPU, thread or interrupt context, not NMI.
    fn allocate() -> Result<CounterId, Unavailable> {
        match counters::alloc() {
            Ok(counter) => Ok(CounterId::new(counter.into_offset())),
            Err(Exhausted { capacity }) => Err(Unavailable::Exhausted(capacity)),
        }
    }

    unsafe fn free(counter: CounterId) {
        // SAFETY: `allocate` has got it from `into_offset`, and the caller frees it once.
        drop(unsafe { Counter::from_offset(counter.get()) });
    }

    #[inline]
    unsafe fn add_if_open(switch: &Switch, counter: CounterId, n: i64) -> bool {
        // SAFETY: the counter lies at this offset in every area.
        unsafe { gs::add_if_open(switch, counter.get(), n) }
    }

    /// [`barrier::all`]: thread or interrupt context, interrupts on or off, not NMI.
    fn barrier() {
        barrier::all();
    }

    fn cpus() -> usize {
        // Not `listed`: those that are plugged in later count, too.
        cpu::possible()
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        // A CPU that has never been there has counted nothing. One that has, has had its area since before
        // the barrier that the caller has passed.
        if cpu >= cpu::areas() {
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
        if cpu >= cpu::areas() {
            return;
        }
        let count = counters::slot(counter.get(), cpu);
        // Most are zero, and reading leaves the line with its CPU. Relaxed: published by whoever opens
        // the object.
        if count.load(Ordering::Relaxed) != 0 {
            count.store(0, Ordering::Relaxed);
        }
    }
}
