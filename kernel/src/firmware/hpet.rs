//! The HPET: its registers, and its timers, silenced. (Its counter is good for a [clock](crate::clock), and keeps
//! running.)
//!
//! IA-PC HPET Specification 1.0a, section 2.3. Each timer can interrupt through the I/O APIC, by a
//! message of its own straight to a local APIC, past all masks ("FSB delivery", today's MSI), or,
//! the first two, in the place of 8254 and clock chip ("legacy replacement"). A firmware that
//! has its ticks from there leaves them running.
//!
//! `unsafe` in this module: the address of the registers.

use bringup::rate::tables;
use spin::Once;
use x86_64::PhysAddr;

use crate::{acpi, log, memory::Registers};

/// Nothing without HPET.
static REGISTERS: Once<Registers> = Once::new();

/// Bits 8 to 12: the number of the last timer.
pub(crate) const CAPABILITIES: u64 = 0x000;
pub(crate) const CONFIGURATION: u64 = 0x010;
const INTERRUPT_STATUS: u64 = 0x020;

/// In [`CONFIGURATION`].
const LEGACY_REPLACEMENT: u32 = 1 << 1;
/// In a timer's configuration.
const INTERRUPTS: u32 = 1 << 2;
const FSB_DELIVERY: u32 = 1 << 14;

/// The configuration of a timer.
const fn timer(number: u64) -> u64 {
    0x100 + 0x20 * number
}

/// Maps the registers, if the ACPI tables tell of an HPET and it answers. Once, on the BSP, after memory is
/// set up.
pub(crate) fn init() {
    if let Some(table) = acpi::table(b"HPET")
        && find(table).is_none()
    {
        log!("acpi: the HPET that is listed cannot be used, or does not answer");
    }
}

fn find(table: &[u8]) -> Option<&'static Registers> {
    /// Up to the last register of the last of 32 timers.
    const SIZE: u64 = 0x500;
    // Below 4 GiB, as on every PC: the CPU might have no further addresses.
    let address = u32::try_from(tables::hpet_address(table)?).ok()?;
    let address = PhysAddr::new(address.into());
    if !address.is_aligned(8_u64) || address.as_u64() % 4096 + SIZE > 4096 {
        return None;
    }
    // SAFETY: the table's word; what is written below touches no memory.
    let registers = unsafe { Registers::map(address) };
    (registers.read(CAPABILITIES) != u32::MAX).then(|| REGISTERS.call_once(|| registers))
}

/// The registers, if there is an HPET: 32 bits at a time, which all chipsets know.
pub(crate) fn registers() -> Option<Registers> {
    REGISTERS.get().copied()
}

/// Turns off the interrupts of all timers.
pub(super) fn silence() {
    let Some(hpet) = registers() else {
        return;
    };
    for number in 0..=u64::from(hpet.read(CAPABILITIES) >> 8 & 0x1f) {
        let configuration = hpet.read(timer(number));
        hpet.write(timer(number), configuration & !(INTERRUPTS | FSB_DELIVERY));
    }
    let configuration = hpet.read(CONFIGURATION);
    hpet.write(CONFIGURATION, configuration & !LEGACY_REPLACEMENT);
    // A one clears what a level-triggered timer still asks for; the others' bits are to be left zero.
    hpet.write(INTERRUPT_STATUS, hpet.read(INTERRUPT_STATUS));
}
