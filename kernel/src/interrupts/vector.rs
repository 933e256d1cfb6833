//! Vectors of this kernel's own interrupts. The upper four bits are the priority class (Intel SDM
//! 3A, 11.8.3): requests of other CPUs come before the timer.

/// Single steps and breakpoints.
pub(crate) const DEBUG: u8 = 1;
/// Non-maskable interrupts.
pub(crate) const NMI: u8 = 2;
/// The first of the 16 where the 8259s interrupt, should one get past its mask.
pub(crate) const FIRST_8259: u8 = 0x20;
/// The local APIC's timer.
pub(crate) const TIMER: u8 = 0x40;
/// Another CPU wants this one out of `hlt`.
pub(crate) const WAKE: u8 = 0x50;
/// Another CPU wants a function called here.
pub(crate) const CALL: u8 = 0x51;
/// Another CPU waits at a barrier.
pub(crate) const BARRIER: u8 = 0x52;
/// This CPU has taken an NMI that is to be logged.
pub(crate) const LOG_NMI: u8 = 0x53;
/// A CPU has started that is not used: it came late, or is not listed.
pub const PARKED: u8 = 0x54;
/// This CPU's APIC has found an error.
pub const APIC_ERROR: u8 = 0x55;
/// A signal that is gone; wants no end of interrupt (Intel SDM 3A, 11.9).
pub(crate) const SPURIOUS: u8 = 0xff;
