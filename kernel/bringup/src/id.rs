//! The two names of a CPU.

use core::fmt;

/// The hardware's name of a CPU: the ID of its local APIC.
///
/// Sparse. 8 bits in xAPIC mode, 32 bits in x2APIC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApicId(u32);

impl ApicId {
    /// Wraps an ID read from the APIC, from CPUID or from the firmware's tables.
    #[must_use]
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The ID as the hardware wants it.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ApicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "APIC {}", self.0)
    }
}

/// The kernel's name of a CPU: its place in per-CPU arrays.
///
/// Dense over the CPUs that the firmware lists, see [`CpuMap`](crate::CpuMap). Having an index does
/// not mean that the CPU is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuIndex(u32);

impl CpuIndex {
    /// The CPU that the firmware started.
    pub const BSP: Self = Self(0);

    /// Wraps a number that is known to be an index, such as a position in a per-CPU array.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index, for use on arrays.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for CpuIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}", self.0)
    }
}
