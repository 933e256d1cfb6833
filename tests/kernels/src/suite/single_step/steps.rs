//! Single steps by the trap flag, and what handlers do in between.

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use kernel::interrupts::{self, Frame};
use kernel::ipi;

/// The trap flag (Intel SDM 3A, 2.3).
const TRAP: i32 = 1 << 8;

/// Runs `f` step by step up to the boundary with the number `place`, where `work` is done, and
/// freely from there on. Returns the number of steps.
pub(crate) fn step(place: usize, work: &(dyn Fn() + Sync), f: impl FnOnce()) -> usize {
    PLACE.store(place, Ordering::Relaxed);
    STEPS.store(0, Ordering::Relaxed);
    AT_THE_BOUNDARY.while_it_is(work, || {
        // SAFETY: only the flag changes. There is a stack, and a handler for what comes of it.
        unsafe { asm!("pushfq", "or qword ptr [rsp], {trap}", "popfq", trap = const TRAP) };
        f();
        // SAFETY: as above.
        unsafe { asm!("pushfq", "and qword ptr [rsp], {rest}", "popfq", rest = const !TRAP) };
    });
    STEPS.load(Ordering::Relaxed)
}

/// Only the CPU that steps touches these.
static STEPS: AtomicUsize = AtomicUsize::new(0);
static PLACE: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Nothing has happened at the boundary that this CPU would have to know.
pub(crate) static UNTOUCHED: AtomicBool = AtomicBool::new(false);
static AT_THE_BOUNDARY: Work = Work::none();
pub(crate) static IN_NMI: Work = Work::none();
pub(crate) static IN_BACKGROUND: Work = Work::none();

/// Per step, the address that it led to, and the one to go on at. Late releases take the most.
pub(crate) static TRACE: [[AtomicU64; 2]; 4096] =
    [const { [const { AtomicU64::new(0) }; 2] }; 4096];

/// Has single steps of this boot be taken so, and NMIs do this.
pub(crate) fn step_by(on_nmi: fn()) {
    // SAFETY: the handler changes the trap flag, and puts `rip` back where it was unless something
    // has happened there; the trap flag is off in NMI handlers, which do not turn it on.
    unsafe { interrupts::set_debug_handler(Some(on_step)) };
    ipi::set_nmi_handler(Some(on_nmi));
}

/// The debug handler.
fn on_step(frame: &mut Frame, interrupted_at: u64) {
    let step = STEPS.load(Ordering::Relaxed);
    STEPS.store(step + 1, Ordering::Relaxed);
    TRACE[step][0].store(interrupted_at, Ordering::Relaxed);
    TRACE[step][1].store(frame.rip, Ordering::Relaxed);
    let mut untouched = true;
    if step == PLACE.load(Ordering::Relaxed) {
        frame.rflags &= !(TRAP as u64);
        AT_THE_BOUNDARY.run();
        untouched = UNTOUCHED.load(Ordering::Relaxed);
    }
    if untouched {
        // A step alone is no reason to start again: no CPU has closed the object meanwhile, nor
        // has this one counted. And a sequence that restarts at every step never ends.
        frame.rip = interrupted_at;
    }
}

/// A handler's work, since the handler can only be a `fn`: a closure on a caller's stack.
pub(crate) struct Work(AtomicPtr<&'static (dyn Fn() + Sync)>);

impl Work {
    const fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Runs `f`; meanwhile the work is `work`.
    pub(crate) fn while_it_is(&self, work: &(dyn Fn() + Sync), f: impl FnOnce()) {
        self.0.store((&raw const work).cast_mut().cast(), Ordering::Release);
        f();
        self.0.store(ptr::null_mut(), Ordering::Release);
    }

    pub(crate) fn run(&self) {
        // SAFETY: null, or from `while_it_is`, which does not return, nor its caller's closure go,
        // before those are done that it is meant for: the handler on the same CPU, one NMI, and
        // the work ordered in the background.
        let work = unsafe { self.0.load(Ordering::Acquire).as_ref() };
        work.expect("this handler has no work")();
    }
}
