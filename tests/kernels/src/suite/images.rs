//! An image that is linked by itself and loaded while the kernel runs, as a driver would be: it
//! inlines the restartable sequences of the per-CPU variant, so it has a table of its own.
//!
//! First, interrupted at every instruction boundary of an acquire and a release in the image: with
//! its table registered, both start again when the object is closed at that boundary; and without,
//! they do not, and protection is granted of what has drained. Then loaded, called, and unloaded
//! again and again, under interrupts, barriers and NMIs on all CPUs; each time its memory is
//! overwritten by what would end this guest.

mod loaded;
mod loader;
mod stepped;

use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use kernel::cpu::CpuIndex;
use kernel::images::{self, Bounds, RegisterError, RestartTable};
use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{clock, cpu, ipi, smp, timer};
use rundown::WaitOutcome;
use rundown::per_cpu::gs::Sequence;
use test_image::SharedRundown;
use test_kernels::nmi::on_nmi;
use test_kernels::{Barrier, half_a_second_from_now, leaked, next, per_cpu, tests, until};

use crate::single_step::steps::step_by;

use loaded::{IMPORTS, Loaded};
use stepped::{closed_inside_it_starts_again, its_sequences_are_found, unregistered_it_does_not};

pub(crate) fn tests() -> &'static [Test] {
    test_image::import(&IMPORTS);
    step_by(|| {});
    tests! {
        once {
            its_sequences_are_found,
            closed_inside_it_starts_again,
            unregistered_it_does_not,
            what_lies_in_the_way_is_refused,
            loaded_and_unloaded_under_interrupts,
        }
    }
}

/// A table that lies among the kernel's sequences, or the image's a second time.
fn what_lies_in_the_way_is_refused() {
    let image = Loaded::new(true);
    let table = RestartTable::new();
    let registered = image.table.as_ref().expect("registered");
    // SAFETY: refused.
    let twice = unsafe { images::register(registered, image.exports.sequences) };
    assert_eq!(twice, Err(RegisterError::Twice));
    let in_the_image = image.exports.acquire as usize as u64;
    for (start, end) in [
        (direct::KERNEL_BASE, direct::KERNEL_BASE + (1 << 30)),
        (in_the_image, in_the_image + 0x1000),
    ] {
        let mut entries = [Sequence::new(start, end)];
        let range = entries.as_mut_ptr_range();
        let bounds = Bounds { start: range.start, end: range.end };
        // SAFETY: refused, after a look at these entries.
        let refused = unsafe { images::register(&table, bounds) };
        assert_eq!(refused, Err(RegisterError::Overlap), "{start:#x}");
    }
    // SAFETY: it is not registered.
    assert!(unsafe { images::unregister(&table) }.is_err());
}

/// The ticks of all CPUs do `work` and send an NMI to the next CPU, whose handler does it, too.
fn in_ticks_and_nmis(work: &'static (dyn Fn() + Sync + Send)) {
    on_nmi(work);
    test_kernels::set_on_tick(leaked(move || {
        work();
        ipi::nmi(next(cpu::current()));
    }));
}

/// Returns when no handler works any more: the timers are stopped. An NMI may still be on its way.
fn quiet() {
    ipi::set_nmi_handler(Some(|| {}));
    // An NMI handler that has begun is over before its CPU takes a call.
    smp::run_on_each(&|_| {});
}

/// Calls into the image are guarded by an object of the kernel's; all CPUs make them, in threads,
/// ticks and NMIs, while the BSP unloads the image and loads it again. Calls that come while there
/// is no image are refused by that object.
fn loaded_and_unloaded_under_interrupts() {
    let guarded = leaked(per_cpu());
    let image: &AtomicPtr<Loaded> = leaked(AtomicPtr::new(ptr::null_mut()));
    let load = || image.store(Box::into_raw(Box::new(Loaded::new(true))), Ordering::Release);
    let object = leaked(SharedRundown::new().expect("a counter"));
    let use_once = move || {
        let Some(_inside) = guarded.try_acquire() else {
            return;
        };
        // SAFETY: loaded for as long as the guard is held.
        let image = unsafe { &*image.load(Ordering::Acquire) };
        assert_eq!((image.exports.use_often)(object, 3), 3);
    };
    load();
    in_ticks_and_nmis(leaked(use_once));
    let over = AtomicBool::new(false);
    let start = Barrier::for_all();
    let unloads = AtomicU64::new(0);
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        start.wait();
        if me == CpuIndex::BSP {
            let (end, mut unloaded) = (half_a_second_from_now(), 0);
            while unloaded < 10 || clock::nanos() < end {
                use_once();
                assert_eq!(guarded.wait(&Halt), WaitOutcome::Drained);
                let gone = image.swap(ptr::null_mut(), Ordering::Acquire);
                // SAFETY: from `load`, and nothing is executed in it any more.
                drop(unsafe { Box::from_raw(gone) });
                // Nothing holds the object either: all was released.
                assert_eq!(object.racy_held(), 0, "a count was lost");
                clock::spin_for(10_000);
                load();
                guarded.reinit().expect("drained, and no other owner");
                unloaded += 1;
            }
            unloads.store(unloaded, Ordering::Relaxed);
            over.store(true, Ordering::Relaxed);
            KernelPlatform::wake_all();
        }
        until(|| over.load(Ordering::Relaxed), use_once);
        timer::stop();
    });
    quiet();
    assert_eq!(object.try_wait(), Ok(()));
    let last = image.swap(ptr::null_mut(), Ordering::Acquire);
    // SAFETY: as above.
    drop(unsafe { Box::from_raw(last) });
    kernel::log!("unloaded {} times", unloads.load(Ordering::Relaxed));
}
