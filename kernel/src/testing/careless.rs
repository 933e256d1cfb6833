//! For tests: leaves the machine as careless firmware does. The opposite of
//! [`firmware::silence`](crate::firmware::silence).
//!
//! For the BSP's thread, where nothing else is said, with nobody else at the devices.
//!
//! `unsafe` in this module: port accesses.

use x86_64::instructions::port::Port;

use crate::{
    apic::{self, Pin},
    cpu::{self, CpuIndex},
    firmware::hpet,
    ioapic::{self, Unroutable},
};

/// How often the timers below tick, in Hz.
const RATE: u32 = 1_000;

/// Has the 8254 tick 1,000 times a second. What it interrupts, if anything, is up to the others.
pub fn start_8254() {
    // Intel 8254 data sheet: channel 0, low byte then high byte, mode 2. Its clock: see `clock`.
    let count = (1_193_182 / RATE) as u16;
    write(0x43, 0x34);
    for byte in count.to_le_bytes() {
        write(0x40, byte);
    }
}

/// Stops the 8254.
pub fn stop_8254() {
    // Channel 0, mode 0: waits for a count, which does not come.
    write(0x43, 0x30);
}

/// Opens the first line of the 8259s, that of the 8254, and has this CPU listen to them.
pub fn open_8259() {
    write(0x21, 0xfe);
    apic::set_pin(bringup::Lint::Lint0, Pin::Legacy);
}

/// Opens the 8254's entry in the I/O APIC, whether or not the firmware tells of it: to this vector on
/// one CPU, or on all.
///
/// # Errors
/// As for [`ioapic::route`].
pub fn open_io_apic(vector: u8, cpu: Option<CpuIndex>) -> Result<(), Unroutable> {
    /// On every PC that has one.
    const PIN_OF_8254: u32 = 2;
    let destination = cpu.map_or(0xff, |cpu| cpu::apic_id(cpu).get());
    let entry = u64::from(destination) << 56 | u64::from(vector);
    ioapic::write_entry(PIN_OF_8254, entry)
}

/// Has the clock chip, line 8, tick 1,024 times a second, each time that the tick before has been
/// [taken](take_rtc).
pub fn start_rtc() {
    // Motorola MC146818A data sheet: register A, 32,768 Hz divided by 32; register B, periodic
    // interrupt, 24 hours.
    write_rtc(0x0a, 0x26);
    write_rtc(0x0b, 0x42);
    take_rtc();
}

/// Stops the clock chip's ticks.
pub fn stop_rtc() {
    write_rtc(0x0b, 0x02);
    take_rtc();
}

/// Takes a tick: in its handler, on any CPU.
pub fn take_rtc() {
    write(0x70, 0x0c);
    // SAFETY: reading register C ends the chip's request, nothing else.
    unsafe { Port::<u8>::new(0x71).read() };
}

/// Has the HPET's first timer interrupt in place of the 8254, 1,000 times a second. Returns
/// whether there is an HPET.
pub fn start_hpet() -> bool {
    // IA-PC HPET Specification 1.0a, 2.3.8: periodic; the next write of the comparator is of its
    // start, the one after that of its period; 32 bits.
    const PERIODIC: u32 = 1 << 3;
    const SET_VALUE: u32 = 1 << 6;
    const BITS_32: u32 = 1 << 8;
    const PERIOD: u64 = 0x004;
    const COUNTER: u64 = 0x0f0;
    const RUN: u32 = 1 << 0;
    if !hpet::exists() {
        return false;
    }
    // In femtoseconds.
    let ticks = (1_000_000_000_000_000 / u64::from(RATE) / u64::from(hpet::read(PERIOD))) as u32;
    let timer = hpet::timer(0);
    hpet::write(timer, PERIODIC | SET_VALUE | BITS_32 | hpet::INTERRUPTS);
    let start = hpet::read(COUNTER).wrapping_add(ticks);
    hpet::write(timer + 8, start);
    hpet::write(timer + 8, ticks);
    let configuration = hpet::read(hpet::CONFIGURATION);
    hpet::write(
        hpet::CONFIGURATION,
        configuration | RUN | hpet::LEGACY_REPLACEMENT,
    );
    true
}

fn write_rtc(register: u8, value: u8) {
    write(0x70, register);
    write(0x71, value);
}

fn write(port: u16, value: u8) {
    // SAFETY: ports of the 8254, the 8259s and the clock chip; interrupts of theirs are what the test is about.
    unsafe { Port::new(port).write(value) };
}
