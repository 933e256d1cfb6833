//! How fast a machine's counters count.
//!
//! The time-stamp counter (TSC) is a CPU's cheapest clock, but its rate differs from one machine to the
//! next. There are two ways to it:
//!
//! - somebody says it: the CPU or the hypervisor, by CPUID ([`Told`]);
//! - it is [measured](measure) against a counter whose rate is fixed: the 8254, the HPET or ACPI's power
//!   management timer ([`Counter`]; [`tables`] finds the last two).
//!
//! A [`Scale`] then makes nanoseconds of ticks.
//!
//! Everything here is plain computation on bytes and numbers: no allocation, no privileged
//! instruction, any context. The host runs its tests. Firmware and hypervisors may say what they like: no
//! input makes this code panic, and what cannot be true is taken for not said.

mod counter;
mod measure;
mod scale;
pub mod tables;
mod told;

use core::ops::RangeInclusive;

pub use counter::Counter;
pub use measure::{Measured, Reference, WINDOW_NS, first_sound, measure};
pub use scale::Scale;
pub use told::{Leaf, Told};

/// Rates, in Hz, that a time-stamp counter may have. No CPU with 64 bits has counted slower or
/// faster: what lies outside is a mistake, of a measurement or of who has said it.
pub const TSC_HZ: RangeInclusive<u64> = 100_000_000..=20_000_000_000;

/// Rates, in Hz, that the local APIC's timer may have before its divider: crystals of 19.2 MHz and more,
/// and the buses that hypervisors make up (QEMU, KVM: 1 GHz).
pub const APIC_TIMER_HZ: RangeInclusive<u64> = 1_000_000..=10_000_000_000;
