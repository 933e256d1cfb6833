//! Work for CPUs: the same function on each, in thread context.

use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{
    cpu::{self, CpuIndex},
    interrupts, ipi,
};

/// Runs `function` on every online CPU, this one included, in thread context with interrupts on,
/// all at the same time. Returns when it has returned everywhere.
///
/// BSP, thread context, one at a time: the APs wait for such work, the BSP runs the main function.
///
/// # Panics
/// If called on an AP, from within itself, or from interrupt context.
pub fn run_on_each(function: &(dyn Fn(CpuIndex) + Sync)) {
    static BUSY: AtomicBool = AtomicBool::new(false);
    assert!(cpu::current() == CpuIndex::BSP, "run_on_each: on an AP");
    assert!(
        !interrupts::in_handler(),
        "run_on_each: in interrupt context"
    );
    assert!(
        !BUSY.swap(true, Ordering::Acquire),
        "run_on_each: one at a time"
    );
    let others = cpu::others();
    let job = Job::new(function, others.clone().count());
    for other in others {
        let area = cpu::area(other).expect("online CPUs have an area");
        // Release: pairs with the swap in `idle`; the job's fields are visible there.
        area.job
            .store(ptr::from_ref(&job).cast_mut(), Ordering::Release);
        ipi::wake(other);
    }
    function(cpu::current());
    // Acquire: pairs with the subtraction in `idle`; what the others did is visible.
    interrupts::halt_until(|| job.unfinished.load(Ordering::Acquire) == 0);
    BUSY.store(false, Ordering::Release);
}

/// A function to run, on its caller's stack.
#[derive(Debug)]
pub(crate) struct Job {
    function: *const (dyn Fn(CpuIndex) + Sync),
    /// CPUs that have not finished it.
    unfinished: AtomicUsize,
}

impl Job {
    fn new(function: &(dyn Fn(CpuIndex) + Sync), cpus: usize) -> Self {
        let function = ptr::from_ref(function);
        Self {
            // SAFETY: only the lifetime changes. `run_on_each` does not return before every CPU
            // has finished, and none touches the job after that.
            function: unsafe {
                core::mem::transmute::<
                    *const (dyn Fn(CpuIndex) + Sync),
                    *const (dyn Fn(CpuIndex) + Sync + 'static),
                >(function)
            },
            unfinished: AtomicUsize::new(cpus),
        }
    }
}

/// What an AP does: the jobs it is given, `hlt` in between.
pub(super) fn idle() -> ! {
    let local = cpu::local();
    x86_64::instructions::interrupts::enable();
    loop {
        let mut job = ptr::null_mut();
        interrupts::halt_until(|| {
            // Acquire: pairs with the store in `run_on_each`.
            job = local.job.swap(ptr::null_mut(), Ordering::Acquire);
            !job.is_null()
        });
        // SAFETY: the job lives until this CPU, too, has counted itself out below.
        let job = unsafe { &*job };
        // SAFETY: as above.
        (unsafe { &*job.function })(cpu::current());
        // Release: pairs with the load in `run_on_each`. The job is gone after this.
        if job.unfinished.fetch_sub(1, Ordering::Release) == 1 {
            ipi::wake(CpuIndex::BSP);
        }
    }
}
