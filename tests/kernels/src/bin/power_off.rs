//! A test that switches the power off in the middle of its work.
#![no_std]
#![no_main]

use kernel::{Machine, interrupts};
use protocol::exit::ExitCode;
use x86_64::instructions::port::Port;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(machine, &[("switches_off", switches_off)])
}

fn switches_off(_: &'static Machine) {
    /// PM1a control of QEMU's q35 and pc machines (base 0x600, set by SeaBIOS).
    const PM1A_CONTROL: u16 = 0x604;
    /// SLP_EN (bit 13) with SLP_TYP 0, which QEMU's DSDT names as `\_S5`: soft off.
    const SOFT_OFF: u16 = 1 << 13;

    // SAFETY: on the machine of this test the port ends the machine, and has no other effect.
    unsafe { Port::new(PM1A_CONTROL).write(SOFT_OFF) };
    // QEMU only takes note of it, and acts a little later.
    interrupts::without(|| {
        loop {
            x86_64::instructions::hlt();
        }
    });
}
