//! The two 8259 interrupt controllers: silenced, not used.
//!
//! The firmware leaves them as DOS wants them: at vectors that are exceptions in protected mode, some
//! lines open (the 8254's, in SeaBIOS). To mask them is not enough. An 8259 whose request goes away
//! between its signal and the CPU's acknowledgement, for example because it has just been masked,
//! answers with its line 7 (Intel 8259A data sheet, "interrupt sequence"): at the old vectors, 8 to 15, that
//! is an exception, as far as the CPU's handler can tell. So they are moved first, then masked.
//!
//! Nothing is written to the interrupt mode configuration register (ports 0x22 and 0x23), which on
//! some boards takes INTR and NMI past the BSP's local APIC until it is told otherwise
//! (MultiProcessor Specification 1.4, 3.6.2.1): that is for boards with a separate APIC, from before
//! there was a CPU with long mode.
//!
//! `unsafe` in this module: port accesses.

use x86_64::instructions::port::Port;

use super::vector;

/// Command and data ports of the two, which are the same for both but for the place (IBM PC/AT).
const FIRST: Ports = Ports {
    command: 0x20,
    data: 0x21,
};
const SECOND: Ports = Ports {
    command: 0xa0,
    data: 0xa1,
};
/// The line of the first to which the second is connected (IBM PC/AT).
const CASCADE: u8 = 2;

/// Moves the vectors to [`vector::FIRST_8259`] and [masks](mask) all lines. Once, by the BSP, with interrupts
/// off and before other CPUs listen: in the midst of this an 8259 has all lines open and no vectors, and
/// whoever asks it gets what QEMU, for one, answers with 0, a divide error.
///
/// Chipsets have long done without the pauses that the chips needed between two writes.
pub(super) fn take_over() {
    // Intel 8259A data sheet: ICW1 = edge-triggered, cascaded, ICW4 follows; ICW4 = 8086 mode; OCW3 = the
    // command port shows what is in service from here on.
    const ICW1: u8 = 0x11;
    const ICW4: u8 = 0x01;
    const SHOW_IN_SERVICE: u8 = 0x0b;
    for (chip, base, cascade) in [
        (FIRST, vector::FIRST_8259, 1 << CASCADE),
        (SECOND, vector::FIRST_8259 + 8, CASCADE),
    ] {
        write(chip.command, ICW1);
        write(chip.data, base);
        write(chip.data, cascade);
        write(chip.data, ICW4);
        write(chip.command, SHOW_IN_SERVICE);
    }
    // What has been signalled meanwhile comes later, at the new vectors, and is taken for what it is.
    mask();
}

/// Masks all 16 lines.
pub(crate) fn mask() {
    // OCW1: a bit for each line.
    write(FIRST.data, 0xff);
    write(SECOND.data, 0xff);
}

/// Ends an interrupt at one of the 8259s' vectors that has not come through the local APIC's own
/// registers. Whether a line is behind it; if not, it is spurious.
pub(crate) fn end(vector: u8) -> bool {
    let line = vector - vector::FIRST_8259;
    let (chip, line) = if line < 8 {
        (FIRST, line)
    } else {
        (SECOND, line - 8)
    };
    let is_real = chip.serves(line);
    if is_real {
        chip.end(line);
    }
    // The first takes a request of the second for real, even if that then does not know of one.
    if chip.command == SECOND.command && FIRST.serves(CASCADE) {
        FIRST.end(CASCADE);
    }
    is_real
}

struct Ports {
    command: u16,
    data: u16,
}

impl Ports {
    fn serves(&self, line: u8) -> bool {
        // SAFETY: `take_over` has made the port show what is in service; reading it changes nothing.
        let in_service: u8 = unsafe { Port::new(self.command).read() };
        in_service >> line & 1 == 1
    }

    /// OCW2: specific end of interrupt.
    fn end(&self, line: u8) {
        write(self.command, 0x60 | line);
    }
}

fn write(port: u16, value: u8) {
    // SAFETY: one of the 8259s' ports; what they interrupt for is nobody's.
    unsafe { Port::new(port).write(value) };
}
