//! CPUID, by the numbers of its leaves.
//!
//! Not by `raw_cpuid`, which panics on unknown topology levels and enumerates caches without bound.

use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// A source of CPUID's answers: by leaf and sub-leaf.
type Read<'a> = &'a dyn Fn(u32, u32) -> CpuidResult;

/// The answers of one CPU. Leaves beyond the highest read as 0, as reserved ones should: Intel CPUs
/// and QEMU return the highest leaf's data for them.
pub(crate) struct Cpuid<'a> {
    read: Read<'a>,
    /// The highest leaf of the basic and of the extended range.
    basic: u32,
    extended: u32,
    /// EBX, EDX, ECX of leaf 0.
    vendor: [u32; 3],
}

const HYPERVISOR: u32 = 0x4000_0000;
const EXTENDED: u32 = 0x8000_0000;

/// `GenuineIntel`, `AuthenticAMD`, and `HygonGenuine`, whose CPUs follow AMD's design.
pub(crate) const INTEL: [u32; 3] = [0x756e_6547, 0x4965_6e69, 0x6c65_746e];
pub(crate) const AMD: [u32; 3] = [0x6874_7541, 0x6974_6e65, 0x444d_4163];
pub(crate) const HYGON: [u32; 3] = [0x6f67_7948, 0x6e65_476e, 0x656e_6975];

impl Cpuid<'static> {
    /// Of the CPU that executes this.
    #[allow(unused_unsafe, reason = "a safe function in newer versions of Rust")]
    pub(crate) fn here() -> Self {
        // SAFETY: every CPU with long mode has the instruction.
        Self::by(&|leaf, sub_leaf| unsafe { __cpuid_count(leaf, sub_leaf) })
    }
}

impl<'a> Cpuid<'a> {
    pub(crate) fn by(read: Read<'a>) -> Self {
        let first = read(0, 0);
        Self {
            read,
            basic: first.eax,
            extended: read(EXTENDED, 0).eax,
            vendor: [first.ebx, first.edx, first.ecx],
        }
    }

    /// A sub-leaf; all 0 if its leaf does not exist.
    pub(crate) fn get(&self, leaf: u32, sub_leaf: u32) -> CpuidResult {
        let highest = match leaf {
            EXTENDED.. => self.extended,
            HYPERVISOR.. if self.is_virtual() => (self.read)(HYPERVISOR, 0).eax,
            HYPERVISOR.. => 0,
            _ => self.basic,
        };
        if leaf <= highest {
            return (self.read)(leaf, sub_leaf);
        }
        CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 }
    }

    /// A hypervisor runs the machine: leaf 1 ECX, bit 31.
    pub(crate) fn is_virtual(&self) -> bool {
        self.get(1, 0).ecx >> 31 == 1
    }

    pub(crate) fn is_intel(&self) -> bool {
        self.vendor == INTEL
    }

    /// Whether this CPU is AMD's or of AMD's design.
    pub(crate) fn is_amd(&self) -> bool {
        [AMD, HYGON].contains(&self.vendor)
    }

    /// Leaf 1 EAX, extended family included.
    pub(crate) fn family(&self) -> u32 {
        let eax = self.get(1, 0).eax;
        match eax >> 8 & 0xf {
            0xf => 0xf + (eax >> 20 & 0xff),
            family => family,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One recorded answer: leaf, sub-leaf, then EAX, EBX, ECX, EDX.
    pub(crate) type CpuidLeaf = (u32, u32, [u32; 4]);

    /// CPUID with these answers; everything else is 0.
    pub(crate) fn cpuid(
        max_leaf: u32,
        [ebx, edx, ecx]: [u32; 3],
        answers: &[CpuidLeaf],
    ) -> impl Fn(u32, u32) -> CpuidResult {
        move |leaf, sub_leaf| {
            let zero = (0, 0, [max_leaf, ebx, ecx, edx]);
            let mut all = answers.iter().chain([&zero]);
            let found = all.find(|answer| (answer.0, answer.1) == (leaf, sub_leaf));
            let [eax, ebx, ecx, edx] = found.map_or([0; 4], |answer| answer.2);
            CpuidResult { eax, ebx, ecx, edx }
        }
    }

    #[test]
    fn a_leaf_beyond_the_highest_is_not_believed() {
        let answers = [
            (1, 0, [0, 0, 1 << 31, 0]),
            (0xb, 0, [1; 4]),
            (HYPERVISOR, 0, [HYPERVISOR + 1, 0, 0, 0]),
            (HYPERVISOR + 1, 0, [1; 4]),
            (HYPERVISOR + 2, 0, [1; 4]),
            (EXTENDED, 0, [EXTENDED + 1, 0, 0, 0]),
            (EXTENDED + 1, 0, [1; 4]),
            (EXTENDED + 2, 0, [1; 4]),
        ];
        for (leaf, basic, is_virtual, exists) in [
            (0xb, 0xb, true, true),
            (0xb, 0xa, true, false),
            (HYPERVISOR + 1, 0xb, true, true),
            (HYPERVISOR + 2, 0xb, true, false),
            // Without a hypervisor a CPU answers with the data of another leaf (SDM 2A, CPUID).
            (HYPERVISOR + 1, 0xb, false, false),
            (EXTENDED + 1, 0xb, true, true),
            (EXTENDED + 2, 0xb, true, false),
        ] {
            let read = cpuid(basic, INTEL, &answers[usize::from(!is_virtual)..]);
            let found = Cpuid::by(&read).get(leaf, 0).eax;
            assert_eq!(found, u32::from(exists), "{leaf:#x}");
        }
    }
}
