//! What CPUID tells of the counters' rates.

use raw_cpuid::{CpuId, CpuIdReader};

use super::{APIC_TIMER_HZ, TSC_HZ};

/// Rates that nobody has to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The TSC's rate in Hz, one of [`TSC_HZ`].
    pub tsc_hz: u64,
    /// The rate in Hz of the local APIC's timer before its divider, one of [`APIC_TIMER_HZ`]; `None` if
    /// it is not told.
    pub apic_timer_hz: Option<u64>,
    /// By what.
    pub leaf: Leaf,
}

/// The leaf of CPUID that tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Leaf 0x15: the TSC's ratio to the core crystal clock.
    Ratio,
    /// Leaf 0x16: the processor's base frequency, in whole MHz, which is the TSC's but for rounding.
    Base,
    /// Leaf 0x4000_0010: the hypervisor's.
    Hypervisor,
}

impl Told {
    /// What the CPU says: leaves 0x15 and 0x16 (Intel SDM 2A, CPUID; 3B, 20.7.3, "Determining the Processor
    /// Base Frequency"). `None` if it says nothing, as AMD's do, or nothing that could be true.
    ///
    /// The local APIC's timer runs at the crystal's rate where leaf 0x15 tells it (SDM 3A, 11.5.4), but
    /// not in a virtual machine: there the leaf may be the host's, while the timer is the hypervisor's
    /// (KVM's: 1 GHz).
    #[must_use]
    pub fn by_cpu<R: CpuIdReader>(reader: R) -> Option<Self> {
        let is_virtual = has_hypervisor(reader.clone());
        let cpuid = CpuId::with_cpuid_reader(reader);
        let base_mhz = cpuid
            .get_processor_frequency_info()
            .map_or(0, |info| info.processor_base_frequency());
        let base_hz = u64::from(base_mhz) * 1_000_000;

        let by_ratio = || {
            let info = cpuid.get_tsc_info()?;
            let ratio = Ratio::new(info.numerator(), info.denominator())?;
            let crystal_hz = match info.nominal_frequency() {
                0 => crystal_of(&cpuid).or_else(|| ratio.crystal_by_base(base_hz))?,
                hz => u64::from(hz),
            };
            Some(Self {
                tsc_hz: ratio.tsc_hz(crystal_hz).filter(is_plausible)?,
                apic_timer_hz: Some(crystal_hz).filter(|hz| !is_virtual && is_bus(hz)),
                leaf: Leaf::Ratio,
            })
        };
        let by_base = || {
            is_plausible(&base_hz).then_some(Self {
                tsc_hz: base_hz,
                apic_timer_hz: None,
                leaf: Leaf::Base,
            })
        };
        by_ratio().or_else(by_base)
    }

    /// What the hypervisor says: leaf 0x4000_0010, EAX the TSC's rate and EBX the APIC timer's, in kHz.
    /// VMware's convention, which others have taken over (QEMU with KVM: `vmware-cpuid-freq`). `None` if
    /// there is no hypervisor, or none that says so.
    #[must_use]
    pub fn by_hypervisor<R: CpuIdReader>(reader: R) -> Option<Self> {
        const RANGE: u32 = 0x4000_0000;
        const TIMING: u32 = 0x4000_0010;
        // Where a CPU has no hypervisor, it answers to these leaves with those of another (SDM 2A, CPUID:
        // the highest basic leaf's), so the flag is asked first.
        if !has_hypervisor(reader.clone()) || reader.cpuid1(RANGE).eax < TIMING {
            return None;
        }
        let timing = reader.cpuid1(TIMING);
        let hz = |khz: u32| u64::from(khz) * 1_000;
        Some(Self {
            tsc_hz: Some(hz(timing.eax)).filter(is_plausible)?,
            apic_timer_hz: Some(hz(timing.ebx)).filter(is_bus),
            leaf: Leaf::Hypervisor,
        })
    }
}

/// TSC to core crystal clock.
struct Ratio {
    numerator: u32,
    denominator: u32,
}

impl Ratio {
    /// `None` if one of them is 0: the ratio is not told.
    fn new(numerator: u32, denominator: u32) -> Option<Self> {
        (numerator != 0 && denominator != 0).then_some(Self {
            numerator,
            denominator,
        })
    }

    fn tsc_hz(&self, crystal_hz: u64) -> Option<u64> {
        let product = crystal_hz.checked_mul(self.numerator.into())?;
        Some(product / u64::from(self.denominator))
    }

    /// The crystal among those that Intel builds in that fits the base frequency, which is the TSC's in
    /// whole MHz or even rounded to a hundred. They differ by 4 % and more, so 1 % tells them apart.
    fn crystal_by_base(&self, base_hz: u64) -> Option<u64> {
        const CRYSTALS_HZ: [u64; 4] = [19_200_000, 24_000_000, 25_000_000, 38_400_000];
        CRYSTALS_HZ.into_iter().find(|&crystal_hz| {
            self.tsc_hz(crystal_hz)
                .is_some_and(|tsc_hz| tsc_hz.abs_diff(base_hz) <= base_hz / 100)
        })
    }
}

/// The crystal's rate where leaf 0x15 has the ratio, but 0 for the crystal (Intel SDM 3B, 20.7.3, table
/// of nominal core crystal clock frequencies).
///
/// Signature 06_55 is left out, though the table says 25 MHz: the Xeon W of that signature have 24.
/// Leaf 0x16 tells which. 06_5F (Denverton) is not in the table, and has no leaf 0x16: 25 MHz by Linux
/// (`turbostat`, commit 7268d407ad4c).
fn crystal_of<R: CpuIdReader>(cpuid: &CpuId<R>) -> Option<u64> {
    let vendor = cpuid.get_vendor_info()?;
    let feature = cpuid.get_feature_info()?;
    // The base family: `family_id()` adds the extended one in 8 bits, which an odd value overflows.
    if vendor.as_str() != "GenuineIntel" || feature.base_family_id() != 6 {
        return None;
    }
    match feature.model_id() {
        0x4e | 0x5e | 0x8e | 0x9e => Some(24_000_000),
        0x5c => Some(19_200_000),
        0x5f => Some(25_000_000),
        _ => None,
    }
}

/// Leaf 1, ECX bit 31.
fn has_hypervisor<R: CpuIdReader>(reader: R) -> bool {
    let features = CpuId::with_cpuid_reader(reader).get_feature_info();
    features.is_some_and(|features| features.has_hypervisor())
}

fn is_plausible(tsc_hz: &u64) -> bool {
    TSC_HZ.contains(tsc_hz)
}

fn is_bus(apic_timer_hz: &u64) -> bool {
    APIC_TIMER_HZ.contains(apic_timer_hz)
}

#[cfg(test)]
mod tests;
