//! Per-CPU counters for threads: Linux restarts an interrupted sequence (`rseq`), and its barrier
//! interrupts the other threads (`membarrier`).

mod barrier;
mod counters;
mod rseq;
mod sequence;

use core::sync::atomic::Ordering;
use std::sync::OnceLock;

pub(super) use self::barrier::rounds as barriers;
pub(super) use self::rseq::cpu_hint;
pub(super) use self::sequence::restarts;
use super::types::HostPlatform;
use crate::per_cpu::{PerCpuGate, PerCpuPlatform};
use crate::state::{CounterId, Unavailable};

/// Prepares the process, the first time. Not in a signal handler.
pub(super) fn prepare() -> Result<(), Unavailable> {
    static PREPARED: OnceLock<Result<(), Unavailable>> = OnceLock::new();
    *PREPARED.get_or_init(|| {
        barrier::register()?;
        rseq::prepare()?;
        counters::prepare()
    })
}

// SAFETY: `add_if_open` is a sequence that the kernel restarts or, on a thread that has none, one
// that `barrier` waits for; each row of counters is written by one CPU at a time, or atomically.
unsafe impl PerCpuPlatform for HostPlatform {
    /// Not in a signal handler.
    fn allocate() -> Result<CounterId, Unavailable> {
        prepare()?;
        counters::allocate()
    }

    unsafe fn free(counter: CounterId) {
        for row in 0..Self::cpus() {
            // SAFETY: nothing adds to it any more.
            unsafe { Self::clear(counter, row) };
        }
        // SAFETY: as for this function.
        unsafe { counters::free(counter) }
    }

    /// Also in a signal handler.
    #[inline]
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        // SAFETY: as for this function; there is a counter, so the process is prepared.
        unsafe { sequence::add_if_open(gate, n) }
    }

    /// Not in a signal handler. Calls that arrive while another one is under way share the next.
    ///
    /// # Panics
    /// If the process cannot have barriers, see [`HostPlatform::per_cpu`], or if a filter of
    /// system calls (seccomp) forbids `membarrier` after it had been allowed.
    fn barrier() {
        prepare().unwrap_or_else(|unavailable| panic!("{unavailable}"));
        barrier::barrier();
    }

    /// All that the machine can ever have, and one more, which threads without `rseq` share.
    #[inline]
    fn cpus() -> usize {
        rseq::cpus() + 1
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        // Relaxed: pairs with nothing; the barrier orders it, or it is racy.
        counters::at(counter, cpu).load(Ordering::Relaxed)
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        let cpu = rseq::cpu_hint().unwrap_or(rseq::cpus());
        // SAFETY: as for this function.
        unsafe { Self::count(counter, cpu) }
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        let counter = counters::at(counter, cpu);
        // Relaxed: pairs with nothing, as in `count`. A counter that is zero is left alone: its
        // line may be in the CPU's cache, and its page need not exist.
        if counter.load(Ordering::Relaxed) != 0 {
            // Relaxed: pairs with nothing, the caller publishes it.
            counter.store(0, Ordering::Relaxed);
        }
    }
}
