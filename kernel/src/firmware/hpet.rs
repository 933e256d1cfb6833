//! The HPET: its registers, and its timers, silenced. (Its counter is good for a [clock](crate::clock), and keeps
//! running.)
//!
//! IA-PC HPET Specification 1.0a, section 2.3. Each timer can interrupt through the I/O APIC, by a
//! message of its own straight to a local APIC, past all masks ("FSB delivery", today's MSI), or,
//! the first two, in the place of 8254 and clock chip ("legacy replacement"). A firmware that
//! has its ticks from there leaves them running.
//!
//! `unsafe` in this module: the registers.

use core::sync::atomic::{AtomicU64, Ordering};

use bringup::rate::tables;
use x86_64::{PhysAddr, VirtAddr};

use crate::{acpi, log, memory::map_registers};

/// Where the registers are mapped; 0 without HPET. Written once by the BSP, so Relaxed everywhere.
static REGISTERS: AtomicU64 = AtomicU64::new(0);

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

fn find(table: &[u8]) -> Option<()> {
    /// Up to the last register of the last of 32 timers.
    const SIZE: u64 = 0x500;
    // Below 4 GiB, as on every PC: the CPU might have no further addresses.
    let address = u32::try_from(tables::hpet_address(table)?).ok()?;
    let address = PhysAddr::new(address.into());
    if !address.is_aligned(8_u64) || address.as_u64() % 4096 + SIZE > 4096 {
        return None;
    }
    REGISTERS.store(map_registers(address).as_u64(), Ordering::Relaxed);
    if read(CAPABILITIES) == u32::MAX {
        REGISTERS.store(0, Ordering::Relaxed);
        return None;
    }
    Some(())
}

/// Whether there is an HPET.
pub(crate) fn exists() -> bool {
    REGISTERS.load(Ordering::Relaxed) != 0
}

/// Turns off the interrupts of all timers.
pub(super) fn silence() {
    if !exists() {
        return;
    }
    for number in 0..=u64::from(read(CAPABILITIES) >> 8 & 0x1f) {
        let configuration = read(timer(number));
        write(timer(number), configuration & !(INTERRUPTS | FSB_DELIVERY));
    }
    write(CONFIGURATION, read(CONFIGURATION) & !LEGACY_REPLACEMENT);
    // A one clears what a level-triggered timer still asks for; the others' bits are to be left zero.
    write(INTERRUPT_STATUS, read(INTERRUPT_STATUS));
}

/// 32 bits at a time, which all chipsets know.
pub(crate) fn read(register: u64) -> u32 {
    // SAFETY: `init` has mapped the page; reading has no effect.
    unsafe { pointer(register).read_volatile() }
}

pub(crate) fn write(register: u64, value: u32) {
    // SAFETY: `init` has mapped the page; these registers touch no memory.
    unsafe { pointer(register).write_volatile(value) };
}

fn pointer(register: u64) -> *mut u32 {
    (VirtAddr::new(REGISTERS.load(Ordering::Relaxed)) + register).as_mut_ptr()
}
