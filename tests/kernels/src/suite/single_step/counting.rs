//! The kernel as `rundown` sees it, with a count of wake-ups.

use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::platform::KernelPlatform;
use rundown::{
    CounterId, IllegalContext, ObjectId, PerCpuGate, PerCpuPlatform, PerCpuRundown, Platform,
    Unavailable,
};

/// An open object.
pub(crate) fn object() -> PerCpuRundown<Counting> {
    PerCpuRundown::new().expect("there is a counter")
}

/// How often waiters were woken.
pub(crate) static WAKES: AtomicUsize = AtomicUsize::new(0);

/// The kernel, with a count of wake-ups.
pub(crate) struct Counting;

impl Platform for Counting {
    fn cpu_hint() -> usize {
        KernelPlatform::cpu_hint()
    }

    fn wake_waiters(object: ObjectId) {
        WAKES.fetch_add(1, Ordering::Relaxed);
        KernelPlatform::wake_waiters(object);
    }
}

// SAFETY: the kernel keeps all the promises.
unsafe impl PerCpuPlatform for Counting {
    fn allocate() -> Result<CounterId, Unavailable> {
        KernelPlatform::allocate()
    }

    unsafe fn free(counter: CounterId) {
        // SAFETY: as for this function.
        unsafe { KernelPlatform::free(counter) };
    }

    #[inline(always)]
    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        // SAFETY: as for this function.
        unsafe { KernelPlatform::add_if_open(gate, n) }
    }

    fn check_barrier() -> Result<(), IllegalContext> {
        KernelPlatform::check_barrier()
    }

    fn barrier() {
        KernelPlatform::barrier();
    }

    fn cpus() -> usize {
        KernelPlatform::cpus()
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        // SAFETY: as for this function.
        unsafe { KernelPlatform::count(counter, cpu) }
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        // SAFETY: as for this function.
        unsafe { KernelPlatform::racy_own_count(counter) }
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        // SAFETY: as for this function.
        unsafe { KernelPlatform::clear(counter, cpu) };
    }
}
