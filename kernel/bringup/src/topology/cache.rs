//! Caches, and which CPUs share them.

use core::array;

use super::shape::{IdFields, shared_by, width};
use crate::{cpuid::Cpuid, id::ApicId};

/// A cache of one CPU.
///
/// Two CPUs share it if both have one with the same `level`, `kind` and `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// 1 is next to the core.
    pub level: u8,
    /// Its contents.
    pub kind: CacheKind,
    /// The lowest APIC ID that a CPU sharing it could have. Unlike this CPU's ID shifted right, it
    /// is unique to the cache even where kinds of cores share caches by different numbers of bits.
    pub first: ApicId,
}

/// The contents of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// Data.
    Data,
    /// Instructions.
    Instruction,
    /// Both.
    Unified,
}

/// CPUs have 4 or 5.
pub(super) const MAX_CACHES: usize = 8;

type Caches = [Option<Cache>; MAX_CACHES];

pub(super) fn of(cpuid: &Cpuid<'_>, shape: IdFields, id: ApicId) -> Caches {
    let is_empty = |caches: &Caches| caches.iter().flatten().next().is_none();
    let mut caches = deterministic(cpuid, 0x8000_001d, id, |count| amd_shift(count, shape));
    if is_empty(&caches) {
        caches = deterministic(cpuid, 4, id, width);
    }
    if is_empty(&caches) {
        caches = legacy(cpuid, shape, id);
    }
    for cache in caches.iter_mut().flatten() {
        // No cache spans packages. A hypervisor may pass the real CPU's answer on to a guest
        // whose packages are smaller.
        cache.first = cache.first.max(shared_by(id, shape.package_shift));
        if shape.node.is_some() && cache.level == 3 {
            cache.first = shape.first_of_die(id);
        }
    }
    caches
}

/// Leaf 4 (Deterministic Cache Parameters: Intel) or 0x8000_001D (Cache Topology: AMD since family
/// 15h), which have the same layout: one sub-leaf per cache. `shift` converts the number of sharing
/// CPUs to a number of APIC ID bits. (AMD's flag for it, leaf 0x8000_0001 ECX bit 22, QEMU hides.)
fn deterministic(cpuid: &Cpuid<'_>, leaf: u32, id: ApicId, shift: impl Fn(u32) -> u32) -> Caches {
    let mut caches = [None; MAX_CACHES];
    for (sub_leaf, cache) in caches.iter_mut().enumerate() {
        let eax = cpuid.get(leaf, sub_leaf as u32).eax;
        let kind = match eax & 0x1f {
            0 => break,
            1 => CacheKind::Data,
            2 => CacheKind::Instruction,
            3 => CacheKind::Unified,
            _ => continue,
        };
        let level = (eax >> 5 & 0b111) as u8;
        let first = shared_by(id, shift((eax >> 14 & 0xfff) + 1));
        *cache = (level > 0).then_some(Cache { level, kind, first });
    }
    caches
}

/// Intel counts the APIC IDs that share a cache, AMD the CPUs. They differ only where a core's
/// threads are no power of two (QEMU allows it): IDs then have holes, and whole cores count.
fn amd_shift(count: u32, shape: IdFields) -> u32 {
    let threads = shape.threads.max(1);
    if count < threads || count == 1 {
        return width(count);
    }
    shape.thread_bits + width(count.div_ceil(threads))
}

/// AMD's leaves 0x8000_0005 (L1 Cache and TLB) and 0x8000_0006 (L2 Cache and TLB and L3 Cache).
/// They do not say which CPUs share a cache. On CPUs that have no other leaf (AMD before family
/// 15h; that family's first APUs, where it is empty; QEMU's models without one), the threads of a
/// core share its L1 and L2 caches, and the cores of a die share its L3 cache.
fn legacy(cpuid: &Cpuid<'_>, shape: IdFields, id: ApicId) -> Caches {
    use CacheKind::{Data, Instruction, Unified};
    let l1 = cpuid.get(0x8000_0005, 0);
    let l2_and_l3 = cpuid.get(0x8000_0006, 0);
    let core = shared_by(id, shape.thread_bits);
    let of_data = if shape.is_compute_unit { id } else { core };
    let die = shape.first_of_die(id);
    // Each with the field for its size.
    let all = [
        (1, Data, l1.ecx >> 24, of_data),
        (1, Instruction, l1.edx >> 24, core),
        (2, Unified, l2_and_l3.ecx >> 16, core),
        (3, Unified, l2_and_l3.edx >> 18, die),
    ];
    let mut there = all.into_iter().filter(|(_, _, size, _)| *size > 0);
    array::from_fn(|_| {
        let (level, kind, _, first) = there.next()?;
        Some(Cache { level, kind, first })
    })
}
