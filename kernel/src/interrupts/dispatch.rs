//! One entry for interrupts, exceptions and NMIs, and the table of their handlers.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bringup::CpuIndex;
use rundown::per_cpu::gs;

use super::{exceptions, frame::Frame, sleep, vector};
use crate::{hook::Hook, per_cpu::per_cpu};

per_cpu! {
    /// Nesting of interrupt handlers, exceptions and NMIs included. Own CPU only.
    static HANDLERS: AtomicU32 = AtomicU32::new(0);
    /// Restartable sequences that were interrupted.
    static RESTARTS: AtomicU64 = AtomicU64::new(0);
}

/// Gets what is saved, with `rip` where the code will go on, and the address that was interrupted,
/// which is another one inside a restartable sequence.
pub type Handler = fn(&mut Frame, interrupted_at: u64);

/// By vector.
static HOOKS: [Hook<Handler>; 256] = [const { Hook::none() }; 256];
/// Takes an interrupt whose vector has no hook, and returns `true`; or `false`: it is an exception.
pub(crate) static OTHERS: Hook<fn(vector: u8) -> bool> = Hook::none();

/// Sets the handler of a vector, which also signals the end of interrupt, where one is due. `None`:
/// an exception ends the kernel, all else is left to [`OTHERS`].
pub(crate) fn set_hook(vector: u8, handler: Option<Handler>) {
    HOOKS[usize::from(vector)].set(handler);
}

/// Sets the handler of debug exceptions. `None`: they end the kernel. It runs on the stack of what
/// it interrupted, with interrupts off, and may turn them on for a while. A barrier in it, as to
/// close a per-CPU object, may hang if what it interrupted is one.
///
/// # Safety
/// - Of the frame, the handler changes nothing but the trap flag and `rip`. The latter only to
///   `interrupted_at`: stepping through a restartable sequence never gets to its end, since each
///   step interrupts it; a handler that is sure that nothing else has happened to the sequence
///   since its start (no other handler on this CPU, no barrier) may let it go on where it was.
/// - While there is a handler, no debug exception comes within an NMI handler. The return from it
///   would let the next NMI in (Intel SDM 3A, 6.7.1), on the stack that the first is still using.
pub unsafe fn set_debug_handler(handler: Option<Handler>) {
    set_hook(vector::DEBUG, handler);
}

/// Whether this code runs in an interrupt, exception or NMI handler.
pub fn in_handler() -> bool {
    // Relaxed: only this CPU writes it.
    HANDLERS.here().load(Ordering::Relaxed) > 0
}

/// Runs `f` as a handler ([`in_handler`]). Interrupts are off.
pub(crate) fn as_handler(f: impl FnOnce()) {
    let handlers = HANDLERS.here();
    // Relaxed: only this CPU writes it; a nested handler restores what it found.
    let depth = handlers.load(Ordering::Relaxed);
    handlers.store(depth + 1, Ordering::Relaxed);
    f();
    handlers.store(depth, Ordering::Relaxed);
}

/// Says that this CPU is in no handler: it may have been reset in one.
pub(crate) fn forget_handlers() {
    HANDLERS.here().store(0, Ordering::Relaxed);
}

/// How often this CPU was interrupted within a restartable sequence.
pub fn restarts(cpu: CpuIndex) -> u64 {
    RESTARTS.count_of(cpu)
}

/// Called by `entry.S` for every interrupt.
pub(super) extern "C" fn dispatch(frame: &mut Frame) {
    let interrupted_at = frame.rip;
    if let Some(start) = gs::restart_point(interrupted_at) {
        frame.rip = start;
        // Relaxed: only this CPU writes it, by one instruction, for an NMI may come here, too.
        RESTARTS.here().fetch_add(1, Ordering::Relaxed);
    }
    if let Some(end) = sleep::awake_at(interrupted_at) {
        frame.rip = end;
    }
    as_handler(|| {
        let vector = frame.vector as u8;
        if let Some(handler) = HOOKS[usize::from(vector)].get() {
            handler(frame, interrupted_at);
        } else if !OTHERS.get().is_some_and(|take| take(vector)) {
            // For the report, which says where it happened and does not return.
            frame.rip = interrupted_at;
            exceptions::report(vector, frame)
        }
    });
}
