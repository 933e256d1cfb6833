//! The HPET (IA-PC HPET Specification 1.0a, section 2.3): its timers, silenced, and its counter.
//!
//! Each timer can interrupt through the I/O APIC, by a message straight to a local APIC, past all
//! masks ("FSB delivery", today's MSI), or in place of 8254 and RTC ("legacy replacement").
//!
//! `unsafe` in this module: the address of the registers.

use bringup::rate::{Counter, tables};
use spin::Once;
use x86_64::PhysAddr;

use crate::{acpi, log, memory::Registers};

/// Nothing without HPET.
pub(crate) static HPET: Once<Hpet> = Once::new();

/// Bits 8 to 12: the number of the last timer.
const CAPABILITIES: u64 = 0x000;
const CONFIGURATION: u64 = 0x010;
const INTERRUPT_STATUS: u64 = 0x020;
const MAIN_COUNTER: u64 = 0x0f0;

/// In [`CONFIGURATION`]: the main counter counts, and the timers interrupt.
const ENABLE: u32 = 1 << 0;
const LEGACY_REPLACEMENT: u32 = 1 << 1;
/// In a timer's configuration.
const INTERRUPTS: u32 = 1 << 2;
const FSB_DELIVERY: u32 = 1 << 14;

/// The configuration of a timer.
const fn timer(number: u64) -> u64 {
    0x100 + 0x20 * number
}

/// An HPET that answers. Its registers are read 32 bits at a time, which all chipsets know.
pub(crate) struct Hpet {
    pub(crate) counter: Counter,
    registers: Registers,
}

/// Maps the HPET if ACPI lists one and it answers. Once, on the BSP, after memory is set up.
pub(crate) fn init() {
    if let Some(table) = acpi::table(b"HPET") {
        match Hpet::find(table) {
            Some(hpet) => drop(HPET.call_once(|| hpet)),
            None => log!("acpi: the HPET that is listed cannot be used, or does not answer"),
        }
    }
}

impl Hpet {
    fn find(table: &[u8]) -> Option<Self> {
        /// Up to the last register of the last of 32 timers.
        const SIZE: u64 = 0x500;
        // Below 4 GiB, as on every PC: the CPU might have no further addresses.
        let address = u32::try_from(tables::hpet_address(table)?).ok()?;
        let address = PhysAddr::new(address.into());
        if !address.is_aligned(8_u64) || address.as_u64() % 4096 + SIZE > 4096 {
            return None;
        }
        // SAFETY: by the table, an HPET is there; no write below touches memory.
        let registers = unsafe { Registers::map(address) };
        let [low, high] = [CAPABILITIES, CAPABILITIES + 4].map(|half| registers.read(half));
        // The lower half of the count alone: one access cannot see half of it before a carry.
        let counter = Counter::hpet(u64::from(high) << 32 | u64::from(low))?;
        Some(Self { counter, registers })
    }

    /// Lets the counter count, if the firmware has not.
    pub(crate) fn running(&self) -> &Self {
        let configuration = self.registers.read(CONFIGURATION);
        if configuration & ENABLE == 0 {
            self.registers.write(CONFIGURATION, configuration | ENABLE);
        }
        self
    }

    pub(crate) fn read(&self) -> u64 {
        self.registers.read(MAIN_COUNTER).into()
    }
}

/// Turns off the interrupts of all timers.
pub(super) fn silence() {
    let Some(Hpet { registers, .. }) = HPET.get() else {
        return;
    };
    for number in 0..=u64::from(registers.read(CAPABILITIES) >> 8 & 0x1f) {
        let configuration = registers.read(timer(number));
        registers.write(timer(number), configuration & !(INTERRUPTS | FSB_DELIVERY));
    }
    let configuration = registers.read(CONFIGURATION);
    registers.write(CONFIGURATION, configuration & !LEGACY_REPLACEMENT);
    // A one clears a level-triggered timer's request; the others' bits must be zero.
    registers.write(INTERRUPT_STATUS, registers.read(INTERRUPT_STATUS));
}
