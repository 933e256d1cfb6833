//! The two 8259 interrupt controllers: silenced, not used.
//!
//! The firmware leaves them at vectors that are exceptions in protected mode, with lines open. An
//! 8259 whose request goes away, for example by masking, answers with its line 7 (Intel 8259A data
//! sheet, "interrupt sequence"): at the old vectors, an exception. So they are moved first.
//!
//! The interrupt mode configuration register (MultiProcessor Specification 1.4, 3.6.2.1) is not
//! written: it is for boards from before there was a CPU with long mode.
//!
//! `unsafe` in this module: port accesses.

use x86_64::instructions::port::Port;

use super::vector;

/// Command and data ports of the two (IBM PC/AT).
const FIRST: [u16; 2] = [0x20, 0x21];
const SECOND: [u16; 2] = [0xa0, 0xa1];
/// The line of the first to which the second is connected (IBM PC/AT).
const CASCADE: u8 = 2;

/// Moves the vectors to [`vector::FIRST_8259`] and [masks](mask) all lines. Once, by the BSP, with
/// interrupts off, before other CPUs listen: meanwhile an 8259 has all lines open and no vectors.
///
/// An interrupt that an 8259 sends nevertheless needs no end of interrupt: the first ends its own
/// as soon as a CPU takes it, and the second's line, which stays masked, may stay in service.
pub(super) fn take_over() {
    // Intel 8259A data sheet: ICW1 = edge-triggered, cascaded, ICW4 follows; ICW4 = 8086 mode, with
    // bit 1 automatic end of interrupt, which is for the first one only.
    const ICW1: u8 = 0x11;
    for ([command, data], base, cascade, icw4) in [
        (FIRST, vector::FIRST_8259, 1 << CASCADE, 0x03),
        (SECOND, vector::FIRST_8259 + 8, CASCADE, 0x01),
    ] {
        write(command, ICW1);
        for icw in [base, cascade, icw4] {
            write(data, icw);
        }
    }
    // Interrupts signalled meanwhile arrive later, at the new vectors, and are recognized as such.
    mask();
}

/// Masks all 16 lines.
pub(crate) fn mask() {
    // OCW1: a bit for each line.
    for [_, data] in [FIRST, SECOND] {
        write(data, 0xff);
    }
}

fn write(port: u16, value: u8) {
    // SAFETY: one of the 8259s' ports; nothing waits for what they interrupt for.
    unsafe { Port::new(port).write(value) };
}
