//! An image that is linked by itself and loaded while the kernel runs, as a driver would be: it inlines the
//! restartable sequences of the per-CPU variant, so it has a table of its own.
//!
//! First, interrupted at every instruction boundary of an acquire and a release in the image: with its table
//! registered, both start again when the object is closed at that boundary; and without, they do not,
//! and protection is granted of what has drained. Then under interrupts, barriers and NMIs on all CPUs.
//! Then loaded, called, and unloaded again and again while all CPUs are interrupted; each time its memory is
//! overwritten by what would end this guest.
#![no_std]
#![no_main]

extern crate alloc;

mod file;
mod loader;
#[path = "../single_step/steps.rs"]
#[expect(dead_code, reason = "some of it is for that guest alone")]
mod steps;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use kernel::cpu::CpuIndex;
use kernel::interrupts::images::{self, Bounds, RegisterError, RestartTable};
use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, clock, cpu, interrupts, ipi, smp, timer};
use protocol::exit::ExitCode;
use rundown::per_cpu::gs::Sequence;
use rundown::{CloseOutcome, PerCpuPlatform, Platform, State, WaitOutcome};
use spin::LazyLock;
use test_image::{Exports, Imports, Object};
use test_kernels::{Barrier, next, per_cpu};

use loader::Image;
use steps::{TRACE, on_step, step};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    test_image::import(&IMPORTS);
    // SAFETY: the handler changes the trap flag, and puts `rip` back where it was unless something has
    // happened there; the trap flag is off in NMI handlers, which do not turn it on.
    unsafe { interrupts::set_debug_handler(Some(on_step)) };
    kernel::testing::run(
        machine,
        &[
            ("its_sequences_are_found", |_| its_sequences_are_found()),
            ("closed_inside_it_starts_again", |_| {
                closed_inside_it_starts_again();
            }),
            ("unregistered_it_does_not", |_| unregistered_it_does_not()),
            ("what_lies_in_the_way_is_refused", |_| {
                what_lies_in_the_way_is_refused();
            }),
            ("closed_while_all_cpus_use_it", |_| {
                closed_while_all_cpus_use_it();
            }),
            ("loaded_and_unloaded_under_interrupts", |_| {
                loaded_and_unloaded_under_interrupts();
            }),
        ],
    )
}

static IMPORTS: Imports = Imports {
    wake_waiters: KernelPlatform::wake_waiters,
    allocate: KernelPlatform::allocate,
    free: KernelPlatform::free,
    check_barrier: KernelPlatform::check_barrier,
    barrier: KernelPlatform::barrier,
    cpus: KernelPlatform::cpus,
    count: KernelPlatform::count,
    racy_own_count: KernelPlatform::racy_own_count,
    clear: KernelPlatform::clear,
};

static IMAGE: LazyLock<Image> = LazyLock::new(Image::fetch);

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// The image while it is loaded.
struct Loaded {
    exports: Exports,
    /// `None`: it is not registered.
    table: Option<Box<RestartTable>>,
}

impl Loaded {
    fn new(registered: bool) -> Self {
        // SAFETY: the one before is dropped: the tests come one after the other.
        let exports = unsafe { IMAGE.load(&IMPORTS) };
        let table = registered.then(|| {
            let table = Box::new(RestartTable::new());
            // SAFETY: the image has said where its table is, and done nothing else; `drop` takes it out.
            unsafe { images::register(&table, exports.sequences) }.expect("nothing in its way");
            table
        });
        Self { exports, table }
    }

    fn restarts(&self) -> usize {
        self.table.as_ref().map_or(0, |t| t.racy_restarts())
    }

    fn acquire(&self, object: &Object) -> bool {
        (self.exports.acquire)(object)
    }

    /// # Safety
    /// The caller holds one.
    unsafe fn release(&self, object: &Object) {
        // SAFETY: by the caller.
        unsafe { (self.exports.release)(object) };
    }
}

/// When nothing is executed in it any more.
impl Drop for Loaded {
    fn drop(&mut self) {
        if let Some(table) = &self.table {
            // SAFETY: nothing is executed in it any more.
            unsafe { images::unregister(table) }.expect("registered");
        }
        // The table first, so that it is poisoned for as long as possible when it is looked at after all.
        drop(self.table.take());
        // SAFETY: as above.
        unsafe { IMAGE.destroy() };
    }
}

/// What is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Acquire,
    Release,
}

const OPERATIONS: [Operation; 2] = [Operation::Acquire, Operation::Release];

impl Operation {
    /// Performs it in the image, step by step up to the boundary with the number `place`, where `work` is done,
    /// and freely from there on. Returns whether it was granted, and the number of steps. Never inlined: the
    /// steps are to be the same in all runs.
    #[inline(never)]
    fn stepped(
        self,
        image: &Loaded,
        object: &Object,
        place: usize,
        work: &(dyn Fn() + Sync),
    ) -> (bool, usize) {
        let mut granted = true;
        let steps = step(place, work, || match self {
            Self::Acquire => granted = image.acquire(object),
            // SAFETY: taken by the caller.
            Self::Release => unsafe { image.release(object) },
        });
        (granted, steps)
    }

    /// A new object on which it can begin.
    fn object(self) -> Object {
        let object = Object::new().expect("a counter");
        if self == Self::Release {
            assert_eq!(object.acquire(), Ok(()));
        }
        object
    }

    /// For each boundary in the image's code, its number and whether it is inside a sequence: leads to
    /// another address.
    fn boundaries(self, image: &Loaded) -> Vec<(usize, bool)> {
        let object = self.object();
        let (granted, steps) = self.stepped(image, &object, usize::MAX, &|| {});
        assert!(granted);
        assert_eq!(object.racy_held(), i64::from(self == Self::Acquire));
        let boundary = |place: usize| {
            let [at, goes_on_at] = &TRACE[place];
            let (at, goes_on_at) = (
                at.load(Ordering::Relaxed),
                goes_on_at.load(Ordering::Relaxed),
            );
            IMAGE.has_code_at(at).then_some((place, at != goes_on_at))
        };
        (0..steps).filter_map(boundary).collect()
    }

    /// Those inside the sequence, as the registered image shows them.
    fn inside(self) -> Vec<usize> {
        let boundaries = self.boundaries(&Loaded::new(true));
        let inside = boundaries.iter().filter(|(_, inside)| *inside);
        inside.map(|(place, _)| *place).collect()
    }
}

/// Three boundaries inside, behind the test, the jump and the load, if the table is registered; and none if
/// not.
fn its_sequences_are_found() {
    for operation in OPERATIONS {
        let registered = Loaded::new(true);
        let boundaries = operation.boundaries(&registered);
        let restarts = registered.restarts();
        drop(registered);
        let inside = boundaries.iter().filter(|(_, inside)| *inside).count();
        assert_eq!((inside, restarts), (3, 3), "{operation:?}: {boundaries:?}");
        let unregistered = operation.boundaries(&Loaded::new(false));
        assert!(unregistered.iter().all(|(_, inside)| !inside));
        let places = |boundaries: &[(usize, bool)]| -> Vec<usize> {
            boundaries.iter().map(|(place, _)| *place).collect()
        };
        assert_eq!(places(&unregistered), places(&boundaries));
        kernel::log!(
            "{operation:?}: {} boundaries in the image",
            boundaries.len()
        );
    }
}

/// The object is closed at a boundary inside, by the handler that the boundary leads to, on the same CPU. Then
/// the operation finds it closed.
fn closed_inside_it_starts_again() {
    for operation in OPERATIONS {
        for place in operation.inside() {
            let image = Loaded::new(true);
            let (object, granted) = closed_at(operation, &image, place);
            let (held, state) = (object.racy_held(), object.state());
            match operation {
                Operation::Acquire => assert!(!granted, "granted although closed"),
                Operation::Release => assert_eq!(held, 0, "released late"),
            }
            assert_eq!(
                state,
                State::Drained,
                "{operation:?} at {place}: {held} held"
            );
            assert_eq!(object.try_wait(), Ok(()));
        }
    }
}

/// The negative control: the same with an image whose table is not registered. The operation goes on where it
/// was, and counts where it is not seen any more.
fn unregistered_it_does_not() {
    for operation in OPERATIONS {
        let last = *operation.inside().last().expect("there are three");
        let image = Loaded::new(false);
        let (object, granted) = closed_at(operation, &image, last);
        match operation {
            Operation::Acquire => {
                assert!(granted, "refused: it has started again");
                assert_eq!(object.state(), State::Drained);
            }
            Operation::Release => {
                assert_eq!(
                    object.state(),
                    State::Draining,
                    "released: it has started again"
                );
                assert_eq!(object.racy_held(), 1, "for ever");
                // What the release should have done.
                // SAFETY: nothing else does.
                unsafe { object.release() };
                assert_eq!(object.try_wait(), Ok(()));
            }
        }
        // Its counter is off by one: cleared before another object gets it.
        object.reinit().expect("drained");
    }
}

/// The operation, with the object closed at this boundary. The object, and whether it was granted.
fn closed_at(operation: Operation, image: &Loaded, place: usize) -> (Object, bool) {
    let object = operation.object();
    let close = || assert_eq!(object.close(), CloseOutcome::Closed);
    let (granted, steps) = operation.stepped(image, &object, place, &close);
    assert_eq!(steps, place + 1, "it did not come to this boundary");
    (object, granted)
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
        (pvh::KERNEL_BASE, pvh::KERNEL_BASE + (1 << 30)),
        (in_the_image, in_the_image + 0x1000),
    ] {
        let mut entries = [Sequence::new(start, end)];
        let range = entries.as_mut_ptr_range();
        let bounds = Bounds {
            start: range.start,
            end: range.end,
        };
        // SAFETY: refused, after a look at these entries.
        let refused = unsafe { images::register(&table, bounds) };
        assert_eq!(refused, Err(RegisterError::Overlap), "{start:#x}");
    }
    // SAFETY: it is not registered.
    assert!(unsafe { images::unregister(&table) }.is_err());
}

/// What an NMI handler does, which can only be a `fn()`: a reference to a leaked closure.
static IN_NMI: AtomicPtr<&'static (dyn Fn() + Sync)> = AtomicPtr::new(ptr::null_mut());

/// The ticks of all CPUs do `work` and send an NMI to the next CPU, whose handler does it, too.
fn in_ticks_and_nmis(work: &'static (dyn Fn() + Sync + Send)) {
    let in_nmi: &'static (dyn Fn() + Sync) = work;
    // Release: pairs with the Acquire below.
    IN_NMI.store(Box::leak(Box::new(in_nmi)), Ordering::Release);
    ipi::set_nmi_handler(Some(|| {
        // SAFETY: leaked above, before the handler was set.
        let work = unsafe { &*IN_NMI.load(Ordering::Acquire) };
        work();
    }));
    test_kernels::set_on_tick(leaked(move || {
        work();
        ipi::nmi(next(cpu::current()));
    }));
}

/// How long the scenarios below go on, at least.
fn end() -> u64 {
    clock::nanos() + 500_000_000
}

/// Calls `work` on a CPU until it is over. On a large machine not without a break: see `per_cpu`.
fn until_over(over: &AtomicBool, mut work: impl FnMut()) {
    let is_over = || over.load(Ordering::Relaxed);
    while !is_over() {
        work();
        let mut interrupted = cpu::count() <= 8;
        Halt.until(&mut || core::mem::replace(&mut interrupted, true) || is_over());
    }
}

/// Threads, ticks and NMIs of all CPUs take and release protection in the image; the BSP closes the object
/// and opens it again, sometimes when it has drained and sometimes before. At the end, as much is released as
/// was granted: counts that got lost would leave something.
fn closed_while_all_cpus_use_it() {
    let image = leaked(Loaded::new(true));
    let object = leaked(Object::new().expect("a counter"));
    let uses = leaked(AtomicU64::new(0));
    let use_often = move |times| {
        let granted = (image.exports.use_often)(object, times);
        uses.fetch_add(granted as u64, Ordering::Relaxed);
    };
    in_ticks_and_nmis(leaked(move || use_often(1)));
    let over = AtomicBool::new(false);
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        start.wait();
        if me == CpuIndex::BSP {
            let (end, mut rounds) = (end(), 0_u64);
            while rounds < 10 || clock::nanos() < end {
                use_often(10);
                if rounds % 2 == 0 {
                    object.close();
                    // Too late if all was released already.
                    if object.cancel().is_err() {
                        object.reinit().expect("drained, and no other owner");
                    }
                } else {
                    assert_eq!(object.wait(&Halt), WaitOutcome::Drained);
                    object.reinit().expect("drained, and no other owner");
                }
                rounds += 1;
            }
            over.store(true, Ordering::Relaxed);
            KernelPlatform::wake_all();
        }
        until_over(&over, || use_often(100));
        timer::stop();
    });
    quiet();
    assert_eq!(object.racy_held(), 0, "a count was lost");
    assert_eq!(object.try_wait(), Ok(()));
    kernel::log!(
        "{} uses, {} sequences restarted in the image",
        uses.load(Ordering::Relaxed),
        image.restarts(),
    );
    // SAFETY: leaked, and not used any more, since all timers and NMIs are silent.
    drop(unsafe { ptr::read(image) });
}

/// Returns when no handler does any work any more: the timers are stopped. An NMI may still be on its way.
fn quiet() {
    ipi::set_nmi_handler(Some(|| {}));
    // An NMI handler that has begun is over before its CPU takes a call.
    smp::run_on_each(&|_| {});
}

/// Calls into the image are guarded by an object of the kernel's; all CPUs make them, in threads, ticks and
/// NMIs, while the BSP unloads the image and loads it again. What comes in while there is no image is turned
/// away by that object.
fn loaded_and_unloaded_under_interrupts() {
    let guarded = leaked(per_cpu());
    let image: &AtomicPtr<Loaded> = leaked(AtomicPtr::new(ptr::null_mut()));
    let load = || {
        image.store(
            Box::into_raw(Box::new(Loaded::new(true))),
            Ordering::Release,
        )
    };
    let object = leaked(Object::new().expect("a counter"));
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
            let (end, mut unloaded) = (end(), 0);
            while unloaded < 10 || clock::nanos() < end {
                use_once();
                assert_eq!(guarded.wait(&Halt), WaitOutcome::Drained);
                let gone = image.swap(ptr::null_mut(), Ordering::Acquire);
                // SAFETY: from `load`, and nothing is executed in it any more.
                drop(unsafe { Box::from_raw(gone) });
                // Nobody is in the object either: all was released.
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
        until_over(&over, || (0..100).for_each(|_| use_once()));
        timer::stop();
    });
    quiet();
    assert_eq!(object.try_wait(), Ok(()));
    let last = image.swap(ptr::null_mut(), Ordering::Acquire);
    // SAFETY: as above.
    drop(unsafe { Box::from_raw(last) });
    kernel::log!("unloaded {} times", unloads.load(Ordering::Relaxed));
}
