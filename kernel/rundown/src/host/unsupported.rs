//! Systems whose threads have no per-CPU counters.

use super::types::HostPlatform;
use crate::per_cpu::{PerCpuGate, PerCpuPlatform};
use crate::state::{CounterId, Unavailable};

const NO_COUNTER: &str = "there is no counter";

pub(super) fn prepare() -> Result<(), Unavailable> {
    Err(Unavailable::Unsupported(
        "threads have them on Linux on x86-64 only; use CacheAwareRundown",
    ))
}

pub(super) fn cpu_hint() -> Option<usize> {
    None
}

pub(super) fn barriers() -> u64 {
    0
}

pub(super) fn restarts() -> u64 {
    0
}

// SAFETY: `allocate` never gives a counter out, so there are no sequences.
unsafe impl PerCpuPlatform for HostPlatform {
    /// Never succeeds on this system.
    fn allocate() -> Result<CounterId, Unavailable> {
        prepare().map(|()| unreachable!("{NO_COUNTER}"))
    }

    unsafe fn free(_: CounterId) {
        unreachable!("{NO_COUNTER}")
    }

    unsafe fn add_if_open(_: &PerCpuGate, _: i64) -> bool {
        unreachable!("{NO_COUNTER}")
    }

    /// # Panics
    /// Always, on this system.
    fn barrier() {
        panic!("no barrier without per-CPU counters: see HostPlatform::per_cpu")
    }

    fn cpus() -> usize {
        1
    }

    unsafe fn count(_: CounterId, _: usize) -> i64 {
        unreachable!("{NO_COUNTER}")
    }

    unsafe fn racy_own_count(_: CounterId) -> i64 {
        unreachable!("{NO_COUNTER}")
    }

    unsafe fn clear(_: CounterId, _: usize) {
        unreachable!("{NO_COUNTER}")
    }
}
