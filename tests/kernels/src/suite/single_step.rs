//! The per-CPU variant, interrupted at every instruction boundary: not at random, at each, once.
//!
//! A CPU takes or releases protection with the trap flag set, so that each instruction ends in a
//! debug exception. At one boundary, another one in every run, its handler lets something happen to
//! the object: this CPU or another one closes it, uses it, or opens it again. From there on the
//! operation runs freely. Before and after that boundary nothing else happens, so it is known
//! exactly what must come out: the operation as a whole either came before the event or after it.
//! The plain variant, to which both are done in that order, says what that means.
//!
//! The boundary decides which of the two: up to the last one inside the restartable sequence, the
//! operation has not happened; from the sequence's end on, it has.

pub(crate) mod steps;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{barrier, cpu, interrupts, ipi, smp};
use rundown::{CloseOutcome, PerCpuRundown, PlainRundown, Rundown, Variant};
use spin::Mutex;
use test_kernels::{per_cpu, tests};

use steps::{IN_BACKGROUND, IN_NMI, TRACE, UNTOUCHED, step, step_by};

pub(crate) fn tests() -> &'static [Test] {
    step_by(|| IN_NMI.run());
    let mut tests = Vec::from(tests! {
        named {
            "steps_find_every_sequence" => |_| steps(),
            "closed_by_the_handler" => |_| all(Who::Handler, Deed::Close),
            "used_by_the_handler" => |_| all(Who::Handler, Deed::Use),
            "opened_by_the_handler" => |_| all(Who::Handler, Deed::Open),
            "used_in_an_nmi" => |_| all(Who::Nmi, Deed::Use),
            "opened_in_an_nmi" => |_| all(Who::Nmi, Deed::Open),
        }
    });
    if cpu::count() > 1 {
        tests.extend_from_slice(tests! {
            named {
                "closed_by_another_cpu" => |_| all(Who::Another, Deed::Close),
                "closed_while_interrupts_are_off" => |_| all(Who::AnotherWhileOff, Deed::Close),
                "closed_by_the_interrupt_itself" => |_| {
                    with_a_closer(|| all(Who::InBackground, Deed::Close));
                },
                "used_by_another_cpu" => |_| all(Who::Another, Deed::Use),
                "opened_by_another_cpu" => |_| all(Who::Another, Deed::Open),
            }
        });
    }
    tests.leak()
}

/// The operation that is interrupted.
#[derive(Clone, Copy, Debug)]
struct Operation {
    /// Protection is taken; or else released.
    takes: bool,
    n: u32,
    /// The object is closed: an acquire is refused, a release comes late.
    closed: bool,
}

const OPERATIONS: [Operation; 8] = {
    let mut all = [Operation { takes: false, n: 1, closed: false }; 8];
    let mut i = 0;
    while i < all.len() {
        all[i].takes = i & 1 == 0;
        all[i].n = if i & 2 == 0 { 1 } else { 3 };
        all[i].closed = i & 4 != 0;
        i += 1;
    }
    all
};

impl Operation {
    /// Brings a new object to where the operation can begin.
    fn prepare<V: Variant>(self, object: Rundown<V>) -> Rundown<V> {
        if !self.takes {
            assert_eq!(object.acquire_many(self.n), Ok(()));
        }
        if self.closed {
            assert_eq!(object.close(), CloseOutcome::Closed);
        }
        object
    }

    /// Whether it was granted; a release always is.
    #[inline(never)]
    fn perform<V: Variant>(self, object: &Rundown<V>) -> bool {
        match self {
            Self { takes: true, n: 1, .. } => object.acquire().is_ok(),
            Self { takes: true, n, .. } => object.acquire_many(n).is_ok(),
            Self { n, .. } => {
                // SAFETY: taken in `prepare`.
                unsafe { release(object, n) };
                true
            }
        }
    }
}

/// # Safety
/// The caller owns `n`.
unsafe fn release<V: Variant>(object: &Rundown<V>, n: u32) {
    match n {
        0 => {}
        // SAFETY: by the caller.
        1 => unsafe { object.release() },
        // SAFETY: by the caller.
        _ => unsafe { object.release_many(n) },
    }
}

/// The deed at the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Close,
    /// Takes protection and releases it.
    Use,
    /// Cancels the drain or begins another generation.
    Open,
}

/// The context that does it, while the operation stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// The debug handler, on top of the operation.
    Handler,
    /// An NMI handler, on top of the debug handler; the NMI is another CPU's, if there is one.
    Nmi,
    /// Another CPU, in an interrupt. The debug handler waits for it with interrupts on...
    Another,
    /// ... or off.
    AnotherWhileOff,
    /// Another CPU, in its thread. The debug handler waits until the interrupt of its barrier is on
    /// its way, and returns as if nothing had happened: the interrupt comes at the very boundary.
    InBackground,
}

/// A deed's findings: whether it took effect, and for a close, how many are held.
type Found = (bool, Option<i64>);

impl Deed {
    fn done_to<V: Variant>(self, object: &Rundown<V>) -> Found {
        match self {
            Self::Close => {
                let closed = object.close() == CloseOutcome::Closed;
                (closed, closed.then(|| object.racy_held()))
            }
            Self::Use => {
                let granted = object.acquire().is_ok();
                // SAFETY: just taken, if it was granted.
                unsafe { release(object, granted.into()) };
                (granted, None)
            }
            // Which of the two it is depends on whether a late release has already taken its share
            // from the count, which is a step of its own; the outcome does not.
            Self::Open => (object.cancel().is_ok() || object.reinit().is_ok(), None),
        }
    }
}

impl Who {
    /// Has this CPU or another one do the work. In the debug handler.
    fn does(self, work: &(dyn Fn() + Sync)) {
        let me = cpu::current();
        let other = test_kernels::next(me);
        match self {
            Self::Handler => work(),
            Self::Nmi => {
                let done = AtomicBool::new(false);
                let noted = || {
                    work();
                    done.store(true, Ordering::Release);
                };
                IN_NMI.while_it_is(&noted, || {
                    if other == me {
                        ipi::nmi(me);
                    } else {
                        ipi::call(other, &|| ipi::nmi(me));
                    }
                    while !done.load(Ordering::Acquire) {
                        core::hint::spin_loop();
                    }
                });
            }
            Self::Another => {
                interrupts::enable();
                ipi::call(other, work);
                x86_64::instructions::interrupts::disable();
            }
            Self::AnotherWhileOff => ipi::call(other, work),
            Self::InBackground => {
                let before = barrier::statistics().interrupts;
                ORDERED.fetch_add(1, Ordering::Release);
                KernelPlatform::wake_all();
                while barrier::statistics().interrupts == before {
                    core::hint::spin_loop();
                }
            }
        }
    }
}

/// Runs `f` while the next CPU does what is ordered in the background.
fn with_a_closer(f: impl Fn() + Sync) {
    let over = AtomicBool::new(false);
    let closer = test_kernels::next(cpu::current());
    smp::run_on_each(&|me| {
        if me == CpuIndex::BSP {
            f();
            over.store(true, Ordering::Release);
            KernelPlatform::wake_all();
        }
        while me == closer && !over.load(Ordering::Acquire) {
            if !background_is_done() {
                IN_BACKGROUND.run();
                DONE.fetch_add(1, Ordering::Release);
            }
            Halt.until(&mut || over.load(Ordering::Acquire) || !background_is_done());
        }
    });
}

/// How much work was ordered of the other CPU, and how much it has done.
static ORDERED: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicUsize = AtomicUsize::new(0);

fn background_is_done() -> bool {
    DONE.load(Ordering::Acquire) == ORDERED.load(Ordering::Acquire)
}

/// All operations with the deed at every boundary.
fn all(who: Who, deed: Deed) {
    for operation in OPERATIONS {
        // An open object cannot be opened; another CPU's close of a closed one interrupts nothing.
        let is_void = match deed {
            Deed::Open => !operation.closed,
            Deed::Close => who != Who::Handler && operation.closed,
            Deed::Use => false,
        };
        if is_void {
            continue;
        }
        let boundaries = boundaries_of(operation);
        let inside = inner(operation, &boundaries);
        let last_inside = *inside.last().expect("checked");
        for (place, boundary) in boundaries.iter().enumerate() {
            let at = interfere(operation, who, deed, place, place > last_inside);
            assert_eq!(at, *boundary, "steps differ from run to run");
        }
    }
}

/// One run: the deed at boundary number `place`, which is returned. `before`: operation first.
fn interfere(operation: Operation, who: Who, deed: Deed, place: usize, before: bool) -> Boundary {
    let nmis = barrier::statistics().nmis;
    let object = operation.prepare(per_cpu());
    let found = Mutex::new(None);
    let me = cpu::current();
    let work = || *found.lock() = Some(deed.done_to(&object));
    let at_the_boundary = || {
        let answered = barrier::racy_answered(me);
        who.does(&work);
        // A close on another CPU makes this one take part in a barrier. If that is left
        // out, this CPU has merely been slow, and was not made to restart.
        let by_another = !matches!(who, Who::Handler | Who::Nmi);
        let untouched = by_another && barrier::racy_answered(me) == answered;
        UNTOUCHED.store(untouched && deed == Deed::Close, Ordering::Relaxed);
    };
    let mut granted = false;
    let mut steps = 0;
    IN_BACKGROUND.while_it_is(&work, || {
        (granted, steps) = step_through(operation, &object, place, &at_the_boundary);
        while !background_is_done() {
            core::hint::spin_loop();
        }
    });
    assert_eq!(steps, place + 1, "it did not come to this boundary");
    if who == Who::InBackground && barrier::statistics().nmis != nmis {
        // Its host has kept this CPU from running, and the barrier's NMI may have come in the debug
        // handler, not at the boundary: this run shows nothing, and its counts may be wrong.
        core::mem::forget(object);
        return interfere(operation, who, deed, place, before);
    }
    let boundary = boundary(place);

    let model = operation.prepare(PlainRundown::<KernelPlatform>::new());
    let (expected, expected_found);
    if before {
        expected = operation.perform(&model);
        expected_found = deed.done_to(&model);
    } else {
        expected_found = deed.done_to(&model);
        expected = operation.perform(&model);
    }
    let context = (operation, who, deed, place);
    assert_eq!(granted, expected, "granted: {context:?}");
    let mut found = found.into_inner().expect("it was done");
    if who == Who::InBackground {
        // Meanwhile the operation has gone on.
        found.1 = expected_found.1;
    }
    assert_eq!(found, expected_found, "found: {context:?}");
    assert_eq!(object.racy_held(), model.racy_held(), "held: {context:?}");
    assert_eq!(object.state(), model.state(), "state: {context:?}");

    // The end: all that is held is released, and the object drains.
    let held = u32::try_from(object.racy_held()).expect("a count");
    // SAFETY: as many as were granted and not released, as the model confirms.
    unsafe { release(&object, held) };
    assert_eq!(object.try_wait(), Ok(()), "{context:?}");
    boundary
}

/// Performs the operation step by step up to boundary number `place`, where `work` is done. Returns
/// whether it was granted, and its steps. Never inlined: all runs must have the same steps.
#[inline(never)]
fn step_through(
    operation: Operation,
    object: &PerCpuRundown<KernelPlatform>,
    place: usize,
    work: &(dyn Fn() + Sync),
) -> (bool, usize) {
    let mut granted = false;
    let steps = step(place, work, || granted = operation.perform(object));
    (granted, steps)
}

/// Where an operation can be interrupted, and where it goes on then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Boundary {
    at: u64,
    goes_on_at: u64,
}

/// The boundaries of an operation that nothing happens to.
fn boundaries_of(operation: Operation) -> Vec<Boundary> {
    let object = operation.prepare(per_cpu());
    let (_, steps) = step_through(operation, &object, usize::MAX, &|| {});
    (0..steps).map(boundary).collect()
}

fn boundary(place: usize) -> Boundary {
    let [at, goes_on_at] = &TRACE[place];
    Boundary { at: at.load(Ordering::Relaxed), goes_on_at: goes_on_at.load(Ordering::Relaxed) }
}

/// Which of them are inside the operation's one sequence: those that lead back to its start.
fn inner(operation: Operation, boundaries: &[Boundary]) -> Vec<usize> {
    let is_inside = |place: &usize| boundaries[*place].at != boundaries[*place].goes_on_at;
    let inside: Vec<usize> = (0..boundaries.len()).filter(is_inside).collect();
    // Behind the test, the jump, and the offset's load; a jump that is taken leaves the sequence.
    let expected = if operation.closed { 1 } else { 3 };
    assert_eq!(inside.len(), expected, "{operation:?}: {boundaries:x?}");
    let first = inside[0];
    for (place, next) in inside.iter().zip(first..) {
        assert_eq!(*place, next, "a sequence in two pieces");
        assert_eq!(boundaries[next].goes_on_at, boundaries[first - 1].at);
    }
    inside
}

fn steps() {
    for operation in OPERATIONS {
        let boundaries = boundaries_of(operation);
        let inside = inner(operation, &boundaries).len();
        kernel::log!("{operation:?}: {} boundaries, {inside} inside", boundaries.len());
    }
}
