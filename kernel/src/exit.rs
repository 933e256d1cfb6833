//! The way out.

use core::sync::atomic::{AtomicBool, Ordering};

use protocol::exit::{self, ExitCode};
use x86_64::instructions::{hlt, interrupts, port::Port};

use crate::{cpu, ipi, log, panic};

/// Ends QEMU with `code`. On a machine without the exit device, halts all CPUs.
///
/// Any CPU, any context. The first caller decides; others halt. A CPU that reports a panic comes before
/// all others.
pub fn exit(code: ExitCode) -> ! {
    static EXITING: AtomicBool = AtomicBool::new(false);
    interrupts::disable();
    if panic::is_reported_elsewhere() {
        halt();
    }
    // Relaxed: the flag orders nothing, it only has one winner.
    if EXITING.swap(true, Ordering::Relaxed) {
        halt();
    }
    // SAFETY: the port is that of QEMU's exit device or of nothing; no memory is touched.
    unsafe { Port::new(exit::PORT).write(code.value()) };
    // Still here: no such device (see the README's QEMU line).
    log!("no isa-debug-exit device: the kernel is done ({code:?}), halting");
    ipi::stop_others();
    halt()
}

/// Halts this CPU for good.
pub(crate) fn halt() -> ! {
    // Release: pairs with the load in `ipi::stop_others`. Here, not in the NMI that it sends: a CPU
    // that halts within another NMI (several may get one at once) does not take that.
    cpu::local().stopped.store(true, Ordering::Release);
    loop {
        interrupts::disable();
        hlt();
    }
}
