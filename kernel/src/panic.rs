//! A panic on any CPU: the others stop, one report, the end.

use core::{
    fmt::{self, Write},
    panic::PanicInfo,
    sync::atomic::{AtomicU32, Ordering},
};

use protocol::event::Event;

use crate::{ExitCode, apic, cpu, emit, exit, interrupts::backtrace, ipi, log, serial, smp};

/// Index + 1 of the CPU that reports; 0 while all is well.
static REPORTING: AtomicU32 = AtomicU32::new(0);

/// Whether another CPU reports a panic: then the end is its business.
pub(crate) fn is_reported_elsewhere() -> bool {
    let reporter = REPORTING.load(Ordering::Relaxed);
    reporter != 0 && reporter != cpu::current().get() as u32 + 1
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // It has no lock, and nobody waits for it: it is reported and left out, and the rest goes on.
    if smp::is_starting() {
        log!("while starting: PANIC {info}");
        smp::park_faulty(None, 0);
    }
    report(format_args!("{info}"), |line| backtrace::here(line))
}

/// Stops the other CPUs, reports `message` and the backtrace once, ends the kernel.
///
/// Any CPU, any context, NMI included. If two CPUs get here, one reports and the other halts. A
/// panic within the report ends the kernel at once.
pub(crate) fn report(message: fmt::Arguments<'_>, trace: impl FnOnce(&mut dyn FnMut(u64))) -> ! {
    x86_64::instructions::interrupts::disable();
    let me = cpu::current().get() as u32 + 1;
    // Relaxed: one winner; what it goes on to report is its own.
    match REPORTING.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        // A panic in the report of a panic: nothing of this code can be trusted any more.
        Err(reporter) if reporter == me => exit(ExitCode::Panicked),
        // Somebody else reports; its NMI would stop this CPU anyway.
        Err(_) => exit::halt(),
    }
    let all_stopped = ipi::stop_others();
    // Every CPU that acknowledged has stopped for good. One that did not is beyond reach (NMIs are blocked
    // or it is dead), or is only starting; a report that may be garbled beats none.
    serial::break_lock();

    log!("PANIC {message}");
    trace(&mut |address| log!("    at {address:#018x}"));
    if !all_stopped {
        log!("    some CPUs did not answer the NMI that stops them");
    }
    let mut text = Text::new();
    // Cut at the buffer's end: `Text` never fails.
    let _ = write!(text, "{message}");
    emit(&Event::Panic {
        cpu: Some(me - 1),
        apic_id: apic::try_id().map(cpu::ApicId::get),
        message: text.as_str().into(),
    });
    exit(ExitCode::Panicked)
}

/// Text in a fixed buffer; what does not fit is cut at a character.
struct Text {
    bytes: [u8; 512],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self {
            bytes: [0; 512],
            len: 0,
        }
    }

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
