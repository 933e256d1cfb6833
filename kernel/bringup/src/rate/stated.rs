//! The counters' rates by CPUID.

#[cfg(test)]
mod tests;

use super::{APIC_TIMER_HZ, TSC_HZ};
use crate::cpuid::Cpuid;

/// Rates that need not be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The TSC's rate in Hz, one of [`TSC_HZ`].
    pub tsc_hz: u64,
    /// The rate in Hz of the local APIC's timer before its divider, one of [`APIC_TIMER_HZ`];
    /// `None` if it is not stated.
    pub apic_timer_hz: Option<u64>,
}

impl Stated {
    /// The rates of the current CPU's counters by the CPU, else by the hypervisor.
    #[must_use]
    pub fn read() -> Option<Self> {
        let cpuid = Cpuid::here();
        by_cpu(&cpuid).or_else(|| by_hypervisor(&cpuid))
    }
}

/// By the CPU: leaf 0x15, the TSC's ratio to the core crystal clock, or 0x16, the processor's base
/// frequency in whole MHz, which is the TSC's but for rounding (Intel SDM 2A, CPUID; 3B, 20.7.3,
/// "Determining the Processor Base Frequency"). `None` if it says nothing, as AMD's do, or nothing
/// that could be true.
///
/// The local APIC's timer runs at the crystal's rate where leaf 0x15 has it (SDM 3A, 11.5.4), but
/// not in a virtual machine: the leaf may be the host's, the timer the hypervisor's (KVM: 1 GHz).
fn by_cpu(cpuid: &Cpuid<'_>) -> Option<Stated> {
    let base_mhz = cpuid.get(0x16, 0).eax & 0xffff;
    let base_hz = u64::from(base_mhz) * 1_000_000;
    let by_ratio = || {
        let ratio = cpuid.get(0x15, 0);
        if ratio.eax == 0 || ratio.ebx == 0 {
            return None;
        }
        let tsc_hz = |crystal_hz: u64| {
            let product = crystal_hz.checked_mul(ratio.ebx.into())?;
            Some(product / u64::from(ratio.eax))
        };
        let crystal_hz = match ratio.ecx {
            0 => crystal_of(cpuid).or_else(|| crystal_by(base_hz, tsc_hz))?,
            hz => hz.into(),
        };
        let is_timer = |hz: &u64| !cpuid.is_virtual() && APIC_TIMER_HZ.contains(hz);
        Some(Stated {
            tsc_hz: tsc_hz(crystal_hz).filter(|hz| TSC_HZ.contains(hz))?,
            apic_timer_hz: Some(crystal_hz).filter(is_timer),
        })
    };
    let by_base =
        || TSC_HZ.contains(&base_hz).then_some(Stated { tsc_hz: base_hz, apic_timer_hz: None });
    by_ratio().or_else(by_base)
}

/// By the hypervisor: leaf 0x4000_0010, EAX the TSC's rate and EBX the APIC timer's, in kHz.
/// VMware's convention, which others have taken over (QEMU with KVM: `vmware-cpuid-freq`). `None`
/// if there is no hypervisor, or it does not say.
fn by_hypervisor(cpuid: &Cpuid<'_>) -> Option<Stated> {
    let timing = cpuid.get(0x4000_0010, 0);
    let hz = |khz: u32| u64::from(khz) * 1_000;
    Some(Stated {
        tsc_hz: Some(hz(timing.eax)).filter(|hz| TSC_HZ.contains(hz))?,
        apic_timer_hz: Some(hz(timing.ebx)).filter(|hz| APIC_TIMER_HZ.contains(hz)),
    })
}

/// The crystal's rate where leaf 0x15 has the ratio, but 0 for the crystal (Intel SDM 3B, 20.7.3,
/// table of nominal core crystal clock frequencies).
///
/// Signature 06_55 is left out, though the table says 25 MHz: the Xeon W of that signature have 24.
/// 06_5F (Denverton) is not in the table: 25 MHz by Linux (`turbostat`, commit 7268d407ad4c).
fn crystal_of(cpuid: &Cpuid<'_>) -> Option<u64> {
    if !cpuid.is_intel() || cpuid.family() != 6 {
        return None;
    }
    let signature = cpuid.get(1, 0).eax;
    match signature >> 12 & 0xf0 | signature >> 4 & 0xf {
        0x4e | 0x5e | 0x8e | 0x9e => Some(24_000_000),
        0x5c => Some(19_200_000),
        0x5f => Some(25_000_000),
        _ => None,
    }
}

/// The crystal among those that Intel builds in that fits the base frequency, which is the TSC's in
/// whole MHz or even rounded to a hundred. They differ by 4 % and more, so 1 % distinguishes them.
fn crystal_by(base_hz: u64, tsc_hz: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    const CRYSTALS_HZ: [u64; 4] = [19_200_000, 24_000_000, 25_000_000, 38_400_000];
    let fits = |hz: u64| hz.abs_diff(base_hz) <= base_hz / 100;
    CRYSTALS_HZ.into_iter().find(|&crystal_hz| tsc_hz(crystal_hz).is_some_and(fits))
}
