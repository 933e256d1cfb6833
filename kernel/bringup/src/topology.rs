//! Where a CPU sits, what kind of core it is, and which CPUs share its caches, as CPUID reports it.
//!
//! An APIC ID is made of bit fields: thread within core in the lowest bits, core within die above
//! them, then die within package, then package. CPUID gives the widths (`shape.rs`), and for each
//! cache the number of low bits in which CPUs that share it may differ ([`Cache`]). Levels between
//! core and die (Intel's module and tile, AMD's core complex) are part of the core's number.
//!
//! | what | from, the first that there is |
//! |---|---|
//! | widths | leaf 0x8000_0026; 0x1F; 0xB; AMD: 0x8000_0008 and 0x8000_001E; Intel: 1 and 4 |
//! | kind of core | leaf 0x8000_0026; 0x1A |
//! | caches | leaf 0x8000_001D; 4; 0x8000_0005 and 0x8000_0006 |
//!
//! (Intel SDM volume 2A, CPUID, and volume 3A, section 9.9; AMD64 APM volume 3, appendix E.)
//!
//! CPUID is not trusted: every loop is bounded and every shift is below 32, whatever the answers.

mod cache;
mod shape;

use self::{
    cache::MAX_CACHES,
    shape::{AMD_EXTENDED, IdFields, levels},
};
pub use self::{
    cache::{Cache, CacheKind},
    shape::Place,
};
use crate::{cpuid::Cpuid, id::ApicId};

/// A CPU's report on itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Where it sits.
    pub place: Place,
    /// The kind of its core, on a machine that has several.
    pub kind: Option<CoreKind>,
    caches: [Option<Cache>; MAX_CACHES],
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
    /// Reads the topology of the current CPU, whose APIC ID is `id`.
    ///
    /// Executes CPUID some 20 times; under a hypervisor each is an exit.
    #[must_use]
    pub fn read(id: ApicId) -> Self {
        Self::by(&Cpuid::here(), id)
    }

    fn by(cpuid: &Cpuid<'_>, id: ApicId) -> Self {
        let shape = IdFields::of(cpuid);
        Self {
            place: shape.locate(id),
            kind: amd_kind(cpuid).or_else(|| intel_kind(cpuid)),
            caches: cache::of(cpuid, shape, id),
        }
    }

    /// Its caches, in CPUID's order, which is usually upwards; for each the CPUs that share it.
    pub fn caches(&self) -> impl Iterator<Item = Cache> + Clone {
        self.caches.iter().flatten().copied()
    }
}

/// The first level of leaf 0x8000_0026, if any level has cores of different kinds.
fn amd_kind(cpuid: &Cpuid<'_>) -> Option<CoreKind> {
    const CORE: u32 = 1;
    const MIXED: u32 = 1 << 30;
    let mut levels = levels(cpuid, AMD_EXTENDED);
    let first = levels.next().filter(|level| level.kind == CORE)?;
    if first.eax & MIXED == 0 && !levels.any(|level| level.eax & MIXED != 0) {
        return None;
    }
    match first.ebx >> 28 {
        0 => Some(CoreKind::Performance),
        1 => Some(CoreKind::Efficiency),
        _ => None,
    }
}

/// Leaf 0x1A, Native Model ID. Every core of a hybrid machine (leaf 7 EDX bit 15) has it; others
/// may.
fn intel_kind(cpuid: &Cpuid<'_>) -> Option<CoreKind> {
    const HYBRID: u32 = 1 << 15;
    const ATOM: u32 = 0x20;
    const CORE: u32 = 0x40;
    if cpuid.get(7, 0).edx & HYBRID == 0 {
        return None;
    }
    match cpuid.get(0x1a, 0).eax >> 24 {
        ATOM => Some(CoreKind::Efficiency),
        CORE => Some(CoreKind::Performance),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
