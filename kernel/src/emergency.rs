//! The ends of a CPU and of the kernel: exit, halt, the report of a panic or exception.
//!
//! All floors end here, so this is one of the lowest; higher ones leave hooks.

use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use bringup::CpuIndex;
use protocol::{
    event::Event,
    exit::{self, ExitCode},
};
use x86_64::instructions::{hlt, interrupts, port::Port};

use crate::{
    hook::Hook,
    log,
    log::emit,
    per_cpu::{self, per_cpu},
    screen, serial, time,
};

/// Stops all other CPUs for good; returns whether all [stopped](has_stopped) in time. Any context.
pub(crate) static STOP_OTHERS: Hook<fn() -> bool> = Hook::none();

/// This CPU's APIC ID, from its APIC. Any context.
pub(crate) static OWN_APIC_ID: Hook<fn() -> Option<u32>> = Hook::none();

/// Called first when code on this CPU cannot go on, with a message, and the exception's vector (if
/// it is one) and address. Does not return if the rest of the kernel can do without this CPU.
pub(crate) static LEAVE_OUT: Hook<fn(fmt::Arguments<'_>, Option<u8>, u64)> = Hook::none();

/// Called when a panic has been reported, and all other CPUs have stopped.
pub(crate) static LAST_LOOK: Hook = Hook::none();

per_cpu! {
    /// Halted for good.
    static STOPPED: AtomicBool = AtomicBool::new(false);
}

/// Index + 1 of the CPU that reports; 0 while all is well.
static REPORTING: AtomicU32 = AtomicU32::new(0);

/// Ends QEMU with `code`. On a machine without the exit device, halts all CPUs.
///
/// Any CPU, any context. The first caller decides; others halt. A CPU that reports a panic comes
/// before all others.
pub fn exit(code: ExitCode) -> ! {
    static EXITING: AtomicBool = AtomicBool::new(false);
    interrupts::disable();
    // Relaxed: the flag orders nothing, it only has one winner.
    if is_reported_elsewhere() || EXITING.swap(true, Ordering::Relaxed) {
        halt();
    }
    // SAFETY: the port is that of QEMU's exit device or of nothing.
    unsafe { Port::new(exit::PORT).write(code.value()) };
    stop_others();
    // From QEMU 10 on, it ends a little later: 2^32 ticks are a second or more below 4.3 GHz.
    let written = time::ticks();
    while time::ticks().wrapping_sub(written) < 1 << 32 {
        core::hint::spin_loop();
    }
    // Still here: no such device (see the README's QEMU line), as on every PC.
    log!("done: switch off or press reset");
    halt()
}

/// Halts this CPU for good.
pub(crate) fn halt() -> ! {
    // Release: pairs with the load in `has_stopped`. Here, not in the NMI that stops CPUs: a CPU
    // that halts within another NMI (several may get one at the same time) does not take that.
    STOPPED.here().store(true, Ordering::Release);
    loop {
        interrupts::disable();
        hlt();
    }
}

/// Whether a CPU has halted for good.
pub(crate) fn has_stopped(cpu: CpuIndex) -> bool {
    // Acquire: pairs with the store in `halt`.
    let stopped = STOPPED.of(cpu);
    stopped.is_some_and(|stopped| stopped.load(Ordering::Acquire))
}

/// Whether a panic is being reported: nothing may allocate, or wait for a lock.
pub(crate) fn is_reporting() -> bool {
    REPORTING.load(Ordering::Relaxed) != 0
}

/// Whether another CPU reports a panic.
pub(crate) fn is_reported_elsewhere() -> bool {
    let reporter = REPORTING.load(Ordering::Relaxed);
    reporter != 0 && reporter != per_cpu::index().get() as u32 + 1
}

/// Does not return on a CPU that the kernel [can do without](LEAVE_OUT).
pub(crate) fn leave_out(message: fmt::Arguments<'_>, vector: Option<u8>, address: u64) {
    if let Some(leave_out) = LEAVE_OUT.get() {
        leave_out(message, vector, address);
    }
}

/// Stops the other CPUs, reports `message` and the backtrace once, ends the kernel.
///
/// Any CPU, any context, NMI included. If two CPUs get here, one reports and the other halts. A
/// panic within the report ends the kernel immediately.
pub(crate) fn report(message: fmt::Arguments<'_>, trace: impl FnOnce(&mut dyn FnMut(u64))) -> ! {
    interrupts::disable();
    let me = per_cpu::index().get() as u32 + 1;
    // Relaxed: one winner; it reports only data of its own.
    match REPORTING.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        // A panic in the report of a panic: nothing of this code can be trusted any more.
        Err(reporter) if reporter == me => exit(ExitCode::Panicked),
        // Another CPU reports; its NMI would stop this one anyway.
        Err(_) => halt(),
    }
    let all_stopped = stop_others();
    // Every CPU that acknowledged has stopped for good. One that did not is beyond reach (NMIs are
    // blocked or it is dead), or is only starting; a report that may be garbled beats none.
    serial::break_lock();
    log!("PANIC {message}");
    trace(&mut |address| log!("    at {address:#018x}"));
    // Lines that were cut short; not before the panic is on the serial port.
    screen::with(|screen| screen.redraw());
    if !all_stopped {
        log!("    some CPUs did not answer the NMI that stops them");
    }
    let mut text = Text { bytes: [0; 512], len: 0 };
    // Cut at the buffer's end: `Text` never fails.
    let _ = write!(text, "{message}");
    emit(&Event::Panic {
        cpu: Some(me - 1),
        apic_id: OWN_APIC_ID.get().and_then(|own_apic_id| own_apic_id()),
        message: text.as_str().into(),
    });
    if let Some(look) = LAST_LOOK.get() {
        look();
    }
    exit(ExitCode::Panicked)
}

fn stop_others() -> bool {
    STOP_OTHERS.get().is_none_or(|stop_others| stop_others())
}

/// Text in a fixed buffer; text that does not fit is cut at a character.
struct Text {
    bytes: [u8; 512],
    len: usize,
}

impl Text {
    fn as_str(&self) -> &str {
        // Only whole characters are ever written.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let text = &text[..text.floor_char_boundary(room)];
        self.bytes[self.len..][..text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
