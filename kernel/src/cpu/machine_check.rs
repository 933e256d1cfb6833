//! Machine checks: what the hardware's error banks say.
//!
//! Intel SDM 3B, chapter 16: each bank is a unit's (a cache, the memory controller, ...) and keeps its
//! last error in model-specific registers, which outlive a reset.
//!
//! `unsafe` in this module: those registers.

use core::fmt;

use raw_cpuid::CpuId;
use x86_64::registers::{
    control::{Cr4, Cr4Flags},
    model_specific::Msr,
};

use super::others;
use crate::log;

/// Number of banks in bits 0 to 7; bit 8: there is an `MCG_CTL`.
const MCG_CAP: u32 = 0x179;
const MCG_CTL: u32 = 0x17b;
/// The first bank's; each has four registers.
const MC0_CTL: u32 = 0x400;
const MC0_STATUS: u32 = 0x401;
const MC0_ADDR: u32 = 0x402;

/// The registers above reach so far; AMD has further banks elsewhere, but shows the first 32 here.
const MAX_BANKS: u32 = 32;

/// Status: the bank holds an error; `MC0_ADDR` holds an address.
const VALID: u64 = 1 << 63;
const ADDRESS_VALID: u64 = 1 << 58;

/// Has this CPU report errors by machine check, all kinds. Its IDT, or that of the CPU that it is
/// started by, must have a gate for them: without this, one shuts the machine down unreported (Intel
/// SDM 3A, 2.5).
///
/// Errors from before the boot are logged and cleared, so that none is taken for the cause of a later one.
pub(crate) fn enable() {
    const HAS_CTL: u64 = 1 << 8;
    let Some(features) = CpuId::new().get_feature_info() else {
        return;
    };
    // Intel SDM 3B, 16.8: the kernel enables everything. But the first bank of the P6 family and
    // its first successors is the firmware's.
    let first_is_firmwares = features.family_id() == 6 && features.model_id() < 0x1a;
    if banks() > 0 && read(MCG_CAP) & HAS_CTL != 0 {
        write(MCG_CTL, u64::MAX);
    }
    if errors().next().is_some() {
        log!("machine check, from before the boot{Errors}");
    }
    for bank in 0..banks() {
        write(MC0_STATUS + 4 * bank, 0);
        if bank > 0 || !first_is_firmwares {
            write(MC0_CTL + 4 * bank, u64::MAX);
        }
    }
    if features.has_mce() {
        // SAFETY: the CPU has the bit, and a gate (this function's promise).
        unsafe { Cr4::update(|cr4| cr4.insert(Cr4Flags::MACHINE_CHECK_EXCEPTION)) };
    }
}

/// Whether it is likely that another CPU knows more: many CPUs take a machine check together, whichever of them has the
/// error in its banks (Intel SDM 3B, 16.10.4.1), and this one has none.
pub(crate) fn is_of_another_cpu() -> bool {
    others().next().is_some() && errors().next().is_none()
}

/// What this CPU's banks say, as part of a line.
pub(crate) struct Errors;

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bank, status) in errors() {
            write!(f, ": bank {bank}: status {status:#018x}")?;
            if status & ADDRESS_VALID != 0 {
                write!(f, ", address {:#x}", read(MC0_ADDR + 4 * bank))?;
            }
        }
        Ok(())
    }
}

/// Banks that hold an error, each with its status.
fn errors() -> impl Iterator<Item = (u32, u64)> {
    let banks = (0..banks()).map(|bank| (bank, read(MC0_STATUS + 4 * bank)));
    banks.filter(|(_, status)| status & VALID != 0)
}

/// How many this CPU has; 0 if it has no machine check architecture.
fn banks() -> u32 {
    match CpuId::new().get_feature_info() {
        Some(features) if features.has_mca() => (read(MCG_CAP) as u32 & 0xff).min(MAX_BANKS),
        _ => 0,
    }
}

fn read(register: u32) -> u64 {
    // SAFETY: the callers read registers that CPUID and `MCG_CAP` say are there; no effect.
    unsafe { Msr::new(register).read() }
}

fn write(register: u32, value: u64) {
    // SAFETY: as in `read`; the registers only govern what is reported.
    unsafe { Msr::new(register).write(value) };
}
