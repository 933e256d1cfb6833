//! Caches, and which CPUs share them.

use core::ops::Deref;

use raw_cpuid::{CpuIdReader, CpuIdResult};

use super::{Leaves, Shape, width};
use crate::ApicId;

/// A cache of one CPU.
///
/// Two CPUs share it if both have one with the same `level`, `kind` and `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// 1 is next to the core.
    pub level: u8,
    /// What it holds.
    pub kind: CacheKind,
    /// Its size.
    pub bytes: u64,
    /// Ways of associativity; 0 if it is fully associative, or if CPUID does not say.
    pub ways: u16,
    /// Length of a line in bytes.
    pub line: u16,
    /// The lowest APIC ID that a CPU sharing it could have: this CPU's ID with the bits cleared in
    /// which those CPUs differ. Unlike the ID shifted right by these bits, it is unique to the cache
    /// even on machines whose kinds of cores share caches by different numbers of bits.
    pub first: ApicId,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// Data.
    Data,
    /// Instructions.
    Instruction,
    /// Both.
    Unified,
}

/// The caches of one CPU, in CPUID's order: usually upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// Entries from `count` on are `NONE`.
    all: [Cache; MAX],
    count: usize,
}

/// CPUs have 4 or 5.
const MAX: usize = 8;

impl Caches {
    /// The caches of the CPU whose APIC ID is `id`.
    pub(super) fn of<R: CpuIdReader>(leaves: &Leaves<'_, R>, shape: Shape, id: ApicId) -> Self {
        let mut caches = deterministic(leaves, 0x8000_001d, id, |count| amd_shift(count, shape));
        if caches.is_empty() {
            caches = deterministic(leaves, 4, id, width);
        }
        if caches.is_empty() {
            caches = legacy(leaves, shape, id);
        }
        let count = caches.count;
        for cache in &mut caches.all[..count] {
            // No cache spans packages. A hypervisor may pass the real CPU's answer on to a guest
            // whose packages are smaller.
            let package = shared_by(id, shape.package_shift);
            cache.first = cache.first.max(package);
            if shape.node.is_some() && cache.level == 3 {
                cache.first = shape.first_of_die(id);
            }
        }
        caches
    }

    const fn none() -> Self {
        Self {
            all: [NONE; MAX],
            count: 0,
        }
    }

    /// Adds a cache, if there is room.
    fn push(&mut self, cache: Cache) {
        if let Some(place) = self.all.get_mut(self.count) {
            *place = cache;
            self.count += 1;
        }
    }
}

impl Deref for Caches {
    type Target = [Cache];

    fn deref(&self) -> &[Cache] {
        &self.all[..self.count]
    }
}

/// No cache.
const NONE: Cache = Cache {
    level: 0,
    kind: CacheKind::Unified,
    bytes: 0,
    ways: 0,
    line: 0,
    first: ApicId::new(0),
};

/// Leaf 4 (Deterministic Cache Parameters: Intel) or 0x8000_001D (Cache Topology: AMD since family
/// 15h), which have the same layout: one sub-leaf per cache. `shift` converts the number of sharing
/// CPUs to a number of APIC ID bits.
///
/// AMD's leaf is reserved unless a flag is set (leaf 0x8000_0001 ECX bit 22). Some hypervisors, QEMU
/// among them, hide the flag but not the leaf, so the leaf itself is checked.
fn deterministic<R: CpuIdReader>(
    leaves: &Leaves<'_, R>,
    leaf: u32,
    id: ApicId,
    shift: impl Fn(u32) -> u32,
) -> Caches {
    let mut caches = Caches::none();
    // Bounded, whatever CPUID returns.
    for sub_leaf in 0..MAX as u32 {
        let regs = leaves.get(leaf, sub_leaf);
        let kind = match regs.eax & 0x1f {
            0 => break,
            1 => CacheKind::Data,
            2 => CacheKind::Instruction,
            3 => CacheKind::Unified,
            _ => continue,
        };
        let level = (regs.eax >> 5 & 0b111) as u8;
        if level == 0 {
            continue;
        }
        caches.push(Cache {
            level,
            kind,
            bytes: size(&regs),
            ways: ways(&regs),
            line: (regs.ebx & 0xfff) as u16 + 1,
            first: shared_by(id, shift((regs.eax >> 14 & 0xfff) + 1)),
        });
    }
    caches
}

/// Ways by partitions by bytes of a line by sets, each field minus 1.
fn size(regs: &CpuIdResult) -> u64 {
    let [line, partitions, ways] = [
        regs.ebx & 0xfff,
        regs.ebx >> 12 & 0x3ff,
        regs.ebx >> 22 & 0x3ff,
    ];
    [line, partitions, ways, regs.ecx]
        .map(|field| u64::from(field) + 1)
        .into_iter()
        .fold(1, u64::saturating_mul)
}

fn ways(regs: &CpuIdResult) -> u16 {
    const FULLY_ASSOCIATIVE: u32 = 1 << 9;
    match regs.eax & FULLY_ASSOCIATIVE {
        0 => (regs.ebx >> 22 & 0x3ff) as u16 + 1,
        _ => 0,
    }
}

/// Intel counts the APIC IDs that share a cache, AMD the CPUs. The two differ only where the number of
/// threads in a core is not a power of two (QEMU allows that): then IDs have holes, and whole cores
/// count.
fn amd_shift(count: u32, shape: Shape) -> u32 {
    let threads = shape.threads.max(1);
    if count < threads || count == 1 {
        return width(count);
    }
    shape.thread_bits + width(count.div_ceil(threads))
}

/// AMD's leaves 0x8000_0005 (L1 Cache and TLB) and 0x8000_0006 (L2 Cache and TLB and L3 Cache).
/// They do not say which CPUs share a cache. On CPUs that have no other leaf (AMD before family 15h;
/// that family's first APUs, where it is empty; QEMU's models without one), the threads of a core share
/// its L1 and L2 caches, and the cores of a die share its L3 cache.
fn legacy<R: CpuIdReader>(leaves: &Leaves<'_, R>, shape: Shape, id: ApicId) -> Caches {
    let l1 = leaves.get(0x8000_0005, 0);
    let l2_and_l3 = leaves.get(0x8000_0006, 0);
    let (l2, l3) = (l2_and_l3.ecx, l2_and_l3.edx);
    let core = shared_by(id, shape.thread_bits);
    let cache = |level, kind, bytes: u32, ways, register: u32| Cache {
        level,
        kind,
        bytes: u64::from(bytes) << 10,
        ways,
        line: (register & 0xff) as u16,
        first: core,
    };
    let data = match shape.is_compute_unit {
        true => id,
        false => core,
    };
    let level_1 = |kind, register: u32| {
        let ways = match (register >> 16 & 0xff) as u16 {
            0xff => 0,
            ways => ways,
        };
        cache(1, kind, register >> 24, ways, register)
    };
    let all = [
        Cache {
            first: data,
            ..level_1(CacheKind::Data, l1.ecx)
        },
        level_1(CacheKind::Instruction, l1.edx),
        cache(2, CacheKind::Unified, l2 >> 16, coded_ways(l2), l2),
        Cache {
            first: shape.first_of_die(id),
            // In units of 512 KiB.
            ..cache(3, CacheKind::Unified, (l3 >> 18) * 512, coded_ways(l3), l3)
        },
    ];
    let mut caches = Caches::none();
    let there = all.into_iter().filter(|cache| cache.bytes > 0);
    there.for_each(|cache| caches.push(cache));
    caches
}

/// Bits 15:12 of the registers about L2 and L3.
fn coded_ways(register: u32) -> u16 {
    match register >> 12 & 0xf {
        ways @ 0..=4 => ways as u16,
        0x5 => 6,
        0x6 => 8,
        0x8 => 16,
        0xa => 32,
        0xb => 48,
        0xc => 64,
        0xd => 96,
        0xe => 128,
        // Fully associative, reserved, or "see leaf 0x8000_001D".
        _ => 0,
    }
}

/// The lowest APIC ID that differs from `id` at most in the lowest `bits` bits.
pub(super) fn shared_by(id: ApicId, bits: u32) -> ApicId {
    let id = u64::from(id.get());
    // Lossless: the result is at most `id`. `bits` may be 32 or more if CPUID is wrong.
    ApicId::new(id.checked_shr(bits).map_or(0, |high| high << bits) as u32)
}
