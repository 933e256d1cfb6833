//! A place where all CPUs meet.

use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::platform::{Halt, KernelPlatform};

/// Returns when all parties have arrived. Can be used again and again.
pub struct Barrier {
    parties: usize,
    /// Arrivals since the beginning, so that no round needs a reset.
    arrivals: AtomicUsize,
}

impl Barrier {
    /// A barrier for `parties` CPUs.
    #[must_use]
    pub const fn new(parties: usize) -> Self {
        Self { parties, arrivals: AtomicUsize::new(0) }
    }

    /// A barrier for all CPUs that run.
    #[must_use]
    pub fn for_all() -> Self {
        Self::new(kernel::cpu::count())
    }

    /// Returns when all parties have called it. Thread context only: it halts.
    ///
    /// A party's work before it arrives happens-before the return of the others.
    pub fn wait(&self) {
        let arrived = self.arrivals.fetch_add(1, Ordering::AcqRel) + 1;
        let all = arrived.next_multiple_of(self.parties);
        if arrived == all {
            KernelPlatform::wake_all();
        } else {
            Halt.until(&mut || self.arrivals.load(Ordering::Acquire) >= all);
        }
    }
}
