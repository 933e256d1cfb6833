//! Interrupts: how they get in, and who handles which.
//!
//! On stable Rust, without `extern "x86-interrupt"`: `entry.S` has a stub of two instructions for
//! each of the 256 vectors; all lead to one entry that saves the registers and calls `dispatch`
//! with a [`Frame`]. There, in one place for interrupts, exceptions and NMIs, a restartable sequence
//! that was interrupted is sent back to its start.
//!
//! `unsafe` in this module: the call that puts the table of those sequences in order.

pub(crate) mod backtrace;
mod exceptions;
mod hook;
mod idt;
pub mod images;
pub(crate) mod machine_check;
pub(crate) mod pic;
mod sleep;
pub(crate) mod unasked;

use core::sync::atomic::Ordering;

pub(crate) use hook::Hook;
pub(crate) use idt::{gate, load};
pub(crate) use sleep::enable_and_halt;
pub(crate) use unasked::Unasked;
pub use unasked::{spurious, stray, unhandled_nmis};

use rundown::per_cpu::gs;

use crate::{apic, barrier, cpu, ioapic, ipi, timer};

/// Vectors of this kernel's own interrupts. The upper four bits are the priority class (Intel SDM
/// 3A, 11.8.3): what other CPUs ask for comes before the timer.
pub(crate) mod vector {
    /// The first of the 16 where the 8259s interrupt, should one get past its mask.
    pub(crate) const FIRST_8259: u8 = 0x20;
    pub(crate) const LAST_8259: u8 = FIRST_8259 + 15;
    /// Devices, see [`ioapic`](crate::ioapic). Below all others, which they must not hold up.
    pub(crate) const FIRST_LINE: u8 = 0x30;
    pub(crate) const LAST_LINE: u8 = FIRST_LINE + 15;
    /// The local APIC's timer.
    pub(crate) const TIMER: u8 = 0x40;
    /// Another CPU wants this one out of `hlt`.
    pub(crate) const WAKE: u8 = 0x50;
    /// Another CPU wants a function called here.
    pub(crate) const CALL: u8 = 0x51;
    /// Another CPU waits at a barrier.
    pub(crate) const BARRIER: u8 = 0x52;
    /// This CPU has taken an NMI that the log is to be told of.
    pub(crate) const TELL: u8 = 0x53;
    /// The local APIC has nothing to say after all; wants no end of interrupt (Intel SDM 3A, 11.9).
    pub(crate) const SPURIOUS: u8 = 0xff;
}

/// What an interrupt leaves on the stack, registers first (the order of `entry.S`), then what the CPU
/// pushes (Intel SDM 3A, 6.14.2).
#[derive(Clone, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "registers, by their names")]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    /// 0 for vectors without one.
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Whether this CPU takes interrupts.
#[must_use]
pub fn enabled() -> bool {
    x86_64::instructions::interrupts::are_enabled()
}

/// Lets this CPU take interrupts.
pub fn enable() {
    x86_64::instructions::interrupts::enable();
}

/// Runs `f` with interrupts off on this CPU. Nests.
pub fn without<R>(f: impl FnOnce() -> R) -> R {
    x86_64::instructions::interrupts::without_interrupts(f)
}

/// Sleeps in `hlt` until `ready` says so. Asks after each interrupt: whoever makes `ready` true sends
/// this CPU one ([`ipi::wake`]) afterwards.
///
/// Thread context, interrupts on; they are on again when it returns.
pub fn halt_until(mut ready: impl FnMut() -> bool) {
    use x86_64::instructions::interrupts::{disable, enable};
    loop {
        // Interrupts off: one that comes between the question and `hlt` stays pending, and ends
        // that.
        disable();
        if ready() {
            enable();
            return;
        }
        enable_and_halt();
    }
}

/// Whether this code runs in an interrupt, exception or NMI handler.
#[must_use]
pub fn in_handler() -> bool {
    // Relaxed: only this CPU writes it.
    cpu::local().handlers.load(Ordering::Relaxed) > 0
}

/// Runs `f` as a handler: [`in_handler`] says so meanwhile. Interrupts are off.
pub(crate) fn as_handler(f: impl FnOnce()) {
    let handlers = &cpu::local().handlers;
    // Relaxed: only this CPU writes it; a nested handler restores what it found.
    let depth = handlers.load(Ordering::Relaxed);
    handlers.store(depth + 1, Ordering::Relaxed);
    f();
    handlers.store(depth, Ordering::Relaxed);
}

/// How often this CPU was interrupted within a restartable sequence.
#[must_use]
pub fn restarts(cpu: cpu::CpuIndex) -> u64 {
    cpu::area(cpu).map_or(0, |area| area.restarts.load(Ordering::Relaxed))
}

/// What happens on a debug exception: gets what is saved, with `rip` as the code will go on, and the
/// address that was interrupted, which is another one if that was inside a restartable sequence.
pub type DebugHandler = fn(&mut Frame, interrupted_at: u64);

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
pub unsafe fn set_debug_handler(handler: Option<DebugHandler>) {
    DEBUG_HANDLER.set(handler);
}

static DEBUG_HANDLER: Hook<DebugHandler> = Hook::none();

/// First step of the kernel: from here on exceptions are reported, and the 8259s are silent.
pub(crate) fn init() {
    // SAFETY: once, on the BSP alone, and the gates that lead to `dispatch` are built below.
    unsafe { gs::prepare() };
    idt::init();
    pic::take_over();
}

/// Called by `entry.S` for every interrupt.
extern "C" fn dispatch(frame: &mut Frame) {
    let interrupted_at = frame.rip;
    if let Some(start) = gs::restart_point(interrupted_at) {
        frame.rip = start;
        // Relaxed: only this CPU writes it, by one instruction, for an NMI may come here, too.
        cpu::local().restarts.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(end) = sleep::awake_at(interrupted_at) {
        frame.rip = end;
    }
    as_handler(|| match frame.vector as u8 {
        exceptions::NMI => ipi::on_nmi(frame),
        exceptions::DEBUG if let Some(handler) = DEBUG_HANDLER.get() => {
            handler(frame, interrupted_at)
        }
        // An interrupt: devices may send these vectors, too.
        vector @ 16..32 if apic::is_in_service(vector) => unasked::take(vector),
        vector @ 0..32 => {
            // For the report, which tells where it happened, and from which there is no return.
            frame.rip = interrupted_at;
            exceptions::report(vector, frame)
        }
        vector::TIMER => {
            apic::end_of_interrupt();
            timer::on_tick();
        }
        vector::WAKE => {
            apic::end_of_interrupt();
            let wakes = &cpu::local().wakes;
            wakes.store(wakes.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        vector::CALL => {
            apic::end_of_interrupt();
            ipi::serve_calls();
        }
        vector::BARRIER => {
            apic::end_of_interrupt();
            barrier::serve();
        }
        vector::TELL => {
            apic::end_of_interrupt();
            unasked::tell_of_nmi();
        }
        vector @ vector::FIRST_LINE..=vector::LAST_LINE => ioapic::on_interrupt(vector),
        vector => unasked::take(vector),
    });
}
