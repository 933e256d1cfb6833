//! Where a CPU sits, what kind of core it is, and which CPUs share its caches, as CPUID reports it.
//!
//! An APIC ID is made of bit fields: thread within core in the lowest bits, core within die above
//! them, then die within package, then package. CPUID gives the widths (`shape.rs`), and for each
//! cache the number of low bits in which CPUs that share it may differ ([`Cache`]). Levels between
//! core and die (Intel's module and tile, AMD's core complex) are part of the core's number: to
//! software they matter only as caches that their cores share, and the caches show that.
//!
//! | what | from, the first that there is |
//! |---|---|
//! | widths | leaf 0x8000_0026; 0x1F; 0xB; AMD: 0x8000_0008 and 0x8000_001E; Intel: 1 and 4 |
//! | kind of core | leaf 0x8000_0026; 0x1A |
//! | caches | leaf 0x8000_001D; 4; 0x8000_0005 and 0x8000_0006 |
//!
//! (Intel SDM volume 2A, CPUID, and volume 3A, section 9.9; AMD64 APM volume 3, appendix E.)
//!
//! Leaves are read directly, without the accessors of `raw_cpuid`: its iterators over levels panic on
//! unknown levels, those over caches run as long as CPUID answers, and all of them hide leaves by the
//! vendor's name. Here every loop is bounded and every shift is below 32, whatever
//! the answers.

mod cache;
mod leaves;
mod shape;

use raw_cpuid::CpuIdReader;

pub use self::cache::{Cache, CacheKind, Caches};
use self::leaves::Leaves;
use self::shape::Shape;
use crate::ApicId;

/// What a CPU reports about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Where it sits.
    pub place: Place,
    /// The kind of its core, on a machine that has several.
    pub kind: Option<CoreKind>,
    /// Its caches, and for each the CPUs that share it.
    pub caches: Caches,
}

/// A CPU's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Physical package (socket).
    pub package: u32,
    /// Die within the package; 0 where CPUID reports no dies.
    pub die: u32,
    /// Core within the die. Further levels (module, tile, complex), and dies that CPUID does not
    /// report, are part of this number. Where the APIC ID has no field for dies (AMD before family
    /// 17h), cores are numbered through the package.
    pub core: u32,
    /// Thread within the core.
    pub thread: u32,
}

/// Kinds of cores that a machine may mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreKind {
    /// Fast: Intel Core, AMD performance.
    Performance,
    /// Small: Intel Atom, AMD efficiency.
    Efficiency,
}

impl Topology {
    /// Reads the topology of the current CPU, whose APIC ID is `id`. `cpuid` is
    /// `raw_cpuid::CpuIdReaderNative`.
    ///
    /// Executes CPUID some 20 times; under a hypervisor each is an exit.
    #[must_use]
    pub fn read<R: CpuIdReader>(cpuid: &R, id: ApicId) -> Self {
        let leaves = Leaves::of(cpuid);
        let shape = Shape::of(&leaves);
        Self {
            place: shape.locate(id),
            kind: amd_kind(&leaves).or_else(|| intel_kind(&leaves)),
            caches: Caches::of(&leaves, shape, id),
        }
    }
}

/// Leaf 0x8000_0026 (Extended CPU Topology), whose layout [`shape`] knows.
const AMD_EXTENDED: u32 = 0x8000_0026;

/// The first level of leaf 0x8000_0026, if any level has cores of different kinds.
fn amd_kind<R: CpuIdReader>(leaves: &Leaves<'_, R>) -> Option<CoreKind> {
    const CORE: u32 = 1;
    const MIXED: u32 = 1 << 30;
    let mut levels = shape::levels(leaves, AMD_EXTENDED);
    let (kind, core) = levels.next()?;
    let mixed = core.eax & MIXED != 0 || levels.any(|(_, level)| level.eax & MIXED != 0);
    match core.ebx >> 28 {
        0 if mixed && kind == CORE => Some(CoreKind::Performance),
        1 if mixed && kind == CORE => Some(CoreKind::Efficiency),
        _ => None,
    }
}

/// Leaf 0x1A, Native Model ID. Every core of a hybrid machine (leaf 7 EDX bit 15) has it; others may.
fn intel_kind<R: CpuIdReader>(leaves: &Leaves<'_, R>) -> Option<CoreKind> {
    const HYBRID: u32 = 1 << 15;
    const ATOM: u32 = 0x20;
    const CORE: u32 = 0x40;
    if leaves.get(7, 0).edx & HYBRID == 0 {
        return None;
    }
    match leaves.get(0x1a, 0).eax >> 24 {
        ATOM => Some(CoreKind::Efficiency),
        CORE => Some(CoreKind::Performance),
        _ => None,
    }
}

/// Bits needed to number `count` things from 0.
fn width(count: u32) -> u32 {
    // Above 2^31 a power of two would not fit.
    u32::BITS - count.saturating_sub(1).leading_zeros()
}

#[cfg(test)]
mod lies;
#[cfg(test)]
mod tests;
