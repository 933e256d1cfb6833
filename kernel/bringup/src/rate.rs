//! How fast a machine's counters count.
//!
//! The time-stamp counter's (TSC) rate is [stated](Stated) by CPUID, or [measured](measure())
//! against a [`Counter`] whose rate is fixed: the 8254, the HPET or ACPI's power management timer
//! ([`tables`] finds the last two). A [`Scale`] then makes nanoseconds of ticks.
//!
//! No input makes this code panic, and what cannot be true counts as not stated.

mod counter;
mod measure;
mod scale;
mod stated;
pub mod tables;

use core::ops::RangeInclusive;

pub use counter::Counter;
pub use measure::{Measured, first_sound, measure};
pub use scale::Scale;
pub use stated::Stated;

/// Rates, in Hz, that a time-stamp counter may have. No CPU with 64 bits has counted slower or
/// faster: a rate outside is a mistake.
pub const TSC_HZ: RangeInclusive<u64> = 100_000_000..=20_000_000_000;

/// Rates, in Hz, that the local APIC's timer may have before its divider: crystals of 19.2 MHz and
/// more, and the buses that hypervisors make up (QEMU, KVM: 1 GHz).
pub const APIC_TIMER_HZ: RangeInclusive<u64> = 1_000_000..=10_000_000_000;
