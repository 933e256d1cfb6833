//! This CPU's local APIC, for what no kernel would do.
//!
//! `unsafe` in this module: the registers.

use kernel::apic::{Ipi, Target, local};
use kernel::cpu::{self, CpuIndex};

/// Registers, the vector table's entries, and their bits (SDM 3A, table 11-1, figure 11-8).
const VERSION: u32 = 0x30;
const END_OF_INTERRUPT: u32 = 0xb0;
const IN_SERVICE: u32 = 0x100;
const REQUESTED: u32 = 0x200;
const CORRECTED_ERRORS: u32 = 0x2f0;
const TIMER: u32 = 0x320;
const TEMPERATURE: u32 = 0x330;
const PERFORMANCE: u32 = 0x340;
const LINTS: [u32; 2] = [0x350, 0x360];
const ERROR: u32 = 0x370;
const MASKED: u32 = 1 << 16;
const DELIVERY: u32 = 0b111 << 8;
const NMI: u32 = 0b100 << 8;

/// Sends an interrupt with any vector from 16 on. Any CPU, any context.
pub fn send(cpu: CpuIndex, vector: u8) {
    // SAFETY: the kernel survives any vector.
    unsafe { local().send(Target::One(cpu::apic_id(cpu)), Ipi::Vector(vector)) }
}

/// Sends an NMI that the kernel does not expect, as if from hardware. Any CPU, any context.
pub fn send_nmi(cpu: CpuIndex) {
    // SAFETY: as above.
    unsafe { local().send(Target::One(cpu::apic_id(cpu)), Ipi::Nmi) }
}

/// Ends the interrupt that is in service on this CPU.
pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Has this CPU's timer count on, but interrupt no more, until it is started again.
pub fn mask_timer() {
    write(TIMER, local().read(TIMER) | MASKED);
}

/// Whether this CPU has taken an interrupt with this vector and not ended it yet.
#[must_use]
pub fn is_in_service(vector: u8) -> bool {
    is_set(IN_SERVICE, vector)
}

/// Whether an interrupt with this vector waits for this CPU to take it.
#[must_use]
pub fn is_requested(vector: u8) -> bool {
    is_set(REQUESTED, vector)
}

/// Whether NMIs of the board come to this CPU by its pins LINT0 and LINT1.
#[must_use]
pub fn nmi_pins() -> [bool; 2] {
    LINTS.map(|pin| local().read(pin) & (MASKED | DELIVERY) == NMI)
}

/// Unmasks the interrupt sources inside this CPU, as firmware may leave them, with this vector.
/// Returns how many there are.
pub fn unmask_own_sources(vector: u8) -> usize {
    let unmask = |entry: &u32| write(*entry, vector.into());
    own_sources().inspect(unmask).count()
}

/// How many of them are neither masked nor those that the kernel reports.
#[must_use]
pub fn unmasked_own_sources() -> usize {
    let reported: u32 = kernel::testing::APIC_ERROR.into();
    own_sources()
        .map(|entry| local().read(entry))
        .filter(|value| value & MASKED == 0 && *value != reported)
        .count()
}

/// Those that there are, by the number of the last entry.
fn own_sources() -> impl Iterator<Item = u32> {
    let last = local().read(VERSION) >> 16 & 0xff;
    let all = (3..).zip([ERROR, PERFORMANCE, TEMPERATURE, CORRECTED_ERRORS]);
    all.filter(move |(number, _)| last >= *number).map(|(_, entry)| entry)
}

/// A vector's bit in one of the registers of 256 bits: eight of 32 (Intel SDM 3A, 11.8.4).
fn is_set(first: u32, vector: u8) -> bool {
    let vector = u32::from(vector);
    local().read(first + vector / 32 * 0x10) >> (vector % 32) & 1 == 1
}

fn write(register: u32, value: u32) {
    // SAFETY: a write here interrupts at most, which the tests that call this are about.
    unsafe { local().write(register, value) }
}
