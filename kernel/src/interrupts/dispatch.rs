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

/// What happens on an interrupt: gets what is saved, with `rip` as the code will go on, and the
/// address that was interrupted, which is another one if that was inside a restartable sequence.
pub type Handler = fn(&mut Frame, interrupted_at: u64);

/// By vector.
static HOOKS: [Hook<Handler>; 256] = [const { Hook::none() }; 256];
/// For vectors that have no hook and are none of the CPU's own.
static OTHERS: Hook<fn(vector: u8)> = Hook::none();
/// Whether what has come with this vector is an interrupt of the local APIC's.
static IS_IN_SERVICE: Hook<fn(vector: u8) -> bool> = Hook::none();

/// Says what CPUs do on an interrupt with this vector: an end of interrupt, where one is due, is up to the
/// hook. `None`: an exception ends the kernel, all else is left to the hook [for others](set_hook_for_others).
pub(crate) fn set_hook(vector: u8, handler: Option<Handler>) {
    HOOKS[usize::from(vector)].set(handler);
}

/// Says what CPUs do on an interrupt that is no exception, and has no [hook](set_hook). Devices may send the
/// vectors 16 to 31, which are exceptions' too: `is_in_service` tells the two apart.
pub(crate) fn set_hook_for_others(handler: fn(vector: u8), is_in_service: fn(vector: u8) -> bool) {
    OTHERS.set(Some(handler));
    IS_IN_SERVICE.set(Some(is_in_service));
}

/// Says what CPUs do on a debug exception (single steps by the trap flag; breakpoints by the debug
/// registers). `None`: it ends the kernel.
///
/// The handler runs on the stack of what it interrupted, with interrupts off, and may turn them on for
/// a while.
///
/// # Safety
/// - Of the frame, the handler changes nothing but the trap flag and `rip`. The latter only to
///   `interrupted_at`: whoever steps through a restartable sequence never gets to its end, since each
///   step interrupts it; a handler that is sure that nothing else has happened to the sequence since
///   its start (no other handler on this CPU, no barrier) may let it go on where it was.
/// - While there is a handler, no debug exception comes within an NMI handler. The return from it
///   would let the next NMI in (Intel SDM 3A, 6.7.1), on the stack that the first is still using.
pub unsafe fn set_debug_handler(handler: Option<Handler>) {
    set_hook(vector::DEBUG, handler);
}

/// Whether this code runs in an interrupt, exception or NMI handler.
#[must_use]
pub fn in_handler() -> bool {
    // Relaxed: only this CPU writes it.
    HANDLERS.here().load(Ordering::Relaxed) > 0
}

/// Runs `f` as a handler: [`in_handler`] says so meanwhile. Interrupts are off.
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
#[must_use]
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
        let is_exception = match vector {
            ..16 => true,
            16..32 => IS_IN_SERVICE
                .get()
                .is_none_or(|is_interrupt| !is_interrupt(vector)),
            32.. => false,
        };
        if let Some(handler) = HOOKS[usize::from(vector)].get() {
            handler(frame, interrupted_at);
        } else if is_exception {
            // For the report, which tells where it happened, and from which there is no return.
            frame.rip = interrupted_at;
            exceptions::report(vector, frame)
        } else if let Some(others) = OTHERS.get() {
            others(vector);
        }
    });
}
