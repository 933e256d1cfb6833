//! Work for CPUs: the same function on each, in thread context.

use core::{
    mem, ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
};

use spin::mutex::{SpinMutex, SpinMutexGuard};

use crate::{
    cpu::{self, CpuIndex},
    interrupts, ipi,
    per_cpu::per_cpu,
};

per_cpu! {
    /// Work for the idle loop.
    static JOB: AtomicPtr<Job> = AtomicPtr::new(ptr::null_mut());
    /// The idle loop is to end: see `offline`.
    pub(crate) static LEAVE: AtomicBool = AtomicBool::new(false);
}

/// Runs `function` on every online CPU, this one included, in thread context with interrupts on, at
/// the same time. Returns when all have. BSP, thread context, one at a time. Panics if called on an
/// AP, from within itself, from interrupt context, or with interrupts off.
pub fn run_on_each(function: &(dyn Fn(CpuIndex) + Sync)) {
    let _exclusive = exclusive("run_on_each");
    let others = cpu::others();
    let job = Job {
        // SAFETY: only the lifetime changes. This function does not return before every CPU has
        // finished, and none touches the job after that.
        function: unsafe {
            mem::transmute::<&(dyn Fn(CpuIndex) + Sync), &(dyn Fn(CpuIndex) + Sync)>(function)
        },
        unfinished: AtomicUsize::new(others.clone().count()),
    };
    for other in others {
        let slot = JOB.of(other).expect("online CPUs have an area");
        // Release: pairs with the swap in `idle`; the job's fields are visible there.
        slot.store(ptr::from_ref(&job).cast_mut(), Ordering::Release);
        ipi::wake(other);
    }
    function(cpu::current());
    // Acquire: pairs with the subtraction in `idle`; the others' writes are visible.
    interrupts::halt_until(|| job.unfinished.load(Ordering::Acquire) == 0);
}

/// Lets one caller at a time give APs work, or take them out or in, until the guard is dropped.
/// Panics if there is another caller; on an AP; in interrupt context; with interrupts off.
pub(crate) fn exclusive(what: &str) -> SpinMutexGuard<'static, ()> {
    static ONE_AT_A_TIME: SpinMutex<()> = SpinMutex::new(());
    assert!(cpu::current() == CpuIndex::BSP, "{what}: on an AP");
    assert!(!interrupts::in_handler(), "{what}: in interrupt context");
    assert!(interrupts::enabled(), "{what}: with interrupts off");
    ONE_AT_A_TIME.try_lock().unwrap_or_else(|| {
        panic!("{what}: one at a time, and not within a function that run_on_each runs")
    })
}

/// A function to run, on its caller's stack.
struct Job {
    function: &'static (dyn Fn(CpuIndex) + Sync),
    unfinished: AtomicUsize,
}

/// An AP's loop: the jobs it is given, `hlt` in between, until it is to `leave`.
pub(crate) fn idle(leave: fn() -> !) -> ! {
    interrupts::enable();
    loop {
        let mut job = ptr::null_mut();
        interrupts::halt_until(|| {
            // Acquire: pairs with the store in `run_on_each`.
            job = JOB.here().swap(ptr::null_mut(), Ordering::Acquire);
            // Acquire: pairs with the store in `offline`.
            !job.is_null() || LEAVE.here().load(Ordering::Acquire)
        });
        if job.is_null() {
            // Acquire: pairs with the store in `offline`, which may have been taken back since.
            if LEAVE.here().swap(false, Ordering::Acquire) {
                leave();
            }
            continue;
        }
        // SAFETY: the job lives until this CPU, too, has counted itself out below.
        let job = unsafe { &*job };
        (job.function)(cpu::current());
        // Release: pairs with the load in `run_on_each`. The job is gone after this.
        if job.unfinished.fetch_sub(1, Ordering::Release) == 1 {
            ipi::wake(CpuIndex::BSP);
        }
    }
}
