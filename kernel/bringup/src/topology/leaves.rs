//! CPUID leaves; those that do not exist read as zero.

use raw_cpuid::{CpuIdReader, CpuIdResult};

/// CPUID leaves. Leaves beyond the highest read as 0, as reserved ones should: Intel CPUs and QEMU
/// return the highest leaf's data for them.
pub(super) struct Leaves<'a, R> {
    cpuid: &'a R,
    /// The highest leaf of each of the two ranges.
    basic: u32,
    extended: u32,
    /// EBX, EDX, ECX of leaf 0.
    vendor: [u32; 3],
}

/// Where the second range begins.
const EXTENDED: u32 = 0x8000_0000;

/// `AuthenticAMD`, and `HygonGenuine`, whose CPUs follow AMD's design.
const AMD: [[u32; 3]; 2] = [
    [0x6874_7541, 0x6974_6e65, 0x444d_4163],
    [0x6f67_7948, 0x6e65_476e, 0x656e_6975],
];

impl<'a, R: CpuIdReader> Leaves<'a, R> {
    pub(super) fn of(cpuid: &'a R) -> Self {
        let first = cpuid.cpuid2(0, 0);
        Self {
            cpuid,
            basic: first.eax,
            extended: cpuid.cpuid2(EXTENDED, 0).eax,
            vendor: [first.ebx, first.edx, first.ecx],
        }
    }

    /// A sub-leaf; all 0 if its leaf does not exist.
    pub(super) fn get(&self, leaf: u32, sub_leaf: u32) -> CpuIdResult {
        let highest = match leaf {
            EXTENDED.. => self.extended,
            _ => self.basic,
        };
        if leaf <= highest {
            self.cpuid.cpuid2(leaf, sub_leaf)
        } else {
            CpuIdResult {
                eax: 0,
                ebx: 0,
                ecx: 0,
                edx: 0,
            }
        }
    }

    /// The family by AMD's count: leaf 1 EAX, extended family included.
    pub(super) fn family(&self) -> u32 {
        let eax = self.get(1, 0).eax;
        match eax >> 8 & 0xf {
            0xf => 0xf + (eax >> 20 & 0xff),
            family => family,
        }
    }

    /// Whether this CPU is AMD's or of AMD's design.
    pub(super) fn is_amd(&self) -> bool {
        AMD.contains(&self.vendor)
    }
}
