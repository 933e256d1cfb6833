//! Last words before there is a kernel: the first serial port, polled.

use core::fmt::{self, Write};

use x86_64::instructions::{hlt, interrupts, port::Port};

/// I/O port of the first serial port (IBM PC/AT).
const COM1: u16 = 0x3f8;

/// Prints one line, `pvh: ` before it, and ends QEMU.
pub(crate) fn fail(message: fmt::Arguments<'_>) -> ! {
    // Writing to this console cannot fail.
    let _ = write!(Console, "pvh: {message}\r\n");
    handover::end_qemu();
    loop {
        interrupts::disable();
        hlt();
    }
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // Bounded: a machine without a serial port still gets to the exit.
            for _ in 0..100_000 {
                // SAFETY: reading the line status register has no effect on memory.
                let status: u8 = unsafe { Port::new(COM1 + 5).read() };
                if status & 0x20 != 0 {
                    break;
                }
            }
            // SAFETY: writing the transmit register has no effect on memory.
            unsafe { Port::new(COM1).write(byte) };
        }
        Ok(())
    }
}
