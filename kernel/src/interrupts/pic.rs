//! The two 8259 interrupt controllers: silenced, not used.

use x86_64::instructions::port::Port;

/// Masks all 16 lines. The firmware leaves some open (the 8254's, in SeaBIOS), on vectors that are
/// exceptions in protected mode.
pub(super) fn mask() {
    // Data ports of the two controllers (IBM PC/AT); all ones = all masked (Intel 8259A, OCW1).
    for port in [0x21, 0xa1] {
        // SAFETY: masking device interrupts touches no memory.
        unsafe { Port::<u8>::new(port).write(0xff) };
    }
}
