//! Caches, and who shares them.

use core::arch::x86_64::CpuidResult;
use std::vec::Vec;

use super::super::{Cache, CacheKind, Topology};
use super::{AMD, Answer, Cpuid, INTEL, QEMU_EPYC, topology};
use crate::ApicId;

/// The lowest APIC ID of those who share it comes last.
pub(super) fn cache(level: u8, kind: CacheKind, first: u32) -> Cache {
    let first = ApicId::new(first);
    Cache { level, kind, first }
}

fn caches(max_leaf: u32, vendor: [u32; 3], answers: &[Answer], id: u32) -> Vec<Cache> {
    topology(max_leaf, vendor, answers, id).caches().collect()
}

#[test]
fn intel_caches() {
    use CacheKind::{Data, Instruction, Unified};
    // QEMU 7.2, `-cpu Skylake-Server -smp 12,sockets=2,cores=3,threads=2`.
    let answers = [
        (4, 0, [0x0800_0121, 0x01c0_003f, 0x3f, 1]),
        (4, 1, [0x0800_0122, 0x01c0_003f, 0x3f, 1]),
        (4, 2, [0x0800_4143, 0x03c0_003f, 0xfff, 1]),
        (4, 3, [0x0801_c163, 0x03c0_003f, 0x3fff, 6]),
        (0xb, 0, [1, 2, 0x100, 0]),
        (0xb, 1, [3, 6, 0x201, 0]),
        // Real ones leave this one empty.
        (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
        (0x8000_0005, 0, [0, 0, 0x4002_0140, 0x4002_0140]),
    ];
    assert_eq!(
        caches(0xd, INTEL, &answers, 0b1_01_1),
        [
            cache(1, Data, 0b1_01_1),
            cache(1, Instruction, 0b1_01_1),
            cache(2, Unified, 0b1_01_0),
            cache(3, Unified, 0b1_00_0),
        ]
    );
}

#[test]
fn amd_caches() {
    use CacheKind::{Data, Instruction, Unified};
    assert_eq!(
        caches(0xd, AMD, &QEMU_EPYC, 0b1_1_1_1),
        [
            cache(1, Data, 0b1_1_1_0),
            cache(1, Instruction, 0b1_1_1_0),
            cache(2, Unified, 0b1_1_1_0),
            cache(3, Unified, 0b1_1_0_0),
        ]
    );
}

#[test]
fn amd_counts_cpus_where_ids_have_holes() {
    // QEMU 7.2, `-cpu EPYC -smp 30,dies=2,cores=5,threads=3`: 15 CPUs share an L3 cache, among 32 IDs.
    let answers = [
        (0xb, 0, [2, 3, 0x100, 0]),
        (0xb, 1, [6, 15, 0x201, 0]),
        (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
        (0x8000_001d, 0, [0x8121, 0x01c0_003f, 0x3f, 1]),
        (0x8000_001d, 1, [0x38163, 0x03c0_003f, 0x1fff, 6]),
        (0x8000_001e, 0, [0, 0x200, 0x100, 0]),
    ];
    let firsts: Vec<_> = caches(0xd, AMD, &answers, 0b1_100_10)
        .iter()
        .map(|cache| cache.first.get())
        .collect();
    assert_eq!(firsts, [0b1_100_00, 0b1_000_00]);
}

#[test]
fn amd_caches_by_the_oldest_leaves() {
    use CacheKind::{Data, Instruction, Unified};
    // QEMU 7.2, `-cpu max -smp 12,sockets=2,cores=3,threads=2`.
    let answers = [
        (0xb, 0, [1, 2, 0x100, 0]),
        (0xb, 1, [3, 6, 0x201, 0]),
        (0x8000_0000, 0, [0x8000_000a, 0, 0, 0]),
        (
            0x8000_0005,
            0,
            [0x01ff_01ff, 0x01ff_01ff, 0x4002_0140, 0x40ff_0140],
        ),
        (0x8000_0006, 0, [0, 0x4200_4200, 0x0200_8140, 0x0080_8140]),
    ];
    assert_eq!(
        caches(0xd, AMD, &answers, 0b1_10_1),
        [
            cache(1, Data, 0b1_10_0),
            cache(1, Instruction, 0b1_10_0),
            cache(2, Unified, 0b1_10_0),
            cache(3, Unified, 0b1_00_0),
        ]
    );
}

#[test]
fn no_cache_reaches_beyond_its_package() {
    // The real CPU's L3 cache, of 64 IDs, in a guest whose packages have 2.
    let answers = [
        (4, 0, [0x000f_c163, 0x03c0_003f, 0x3fff, 0]),
        (0xb, 0, [0, 1, 0x100, 0]),
        (0xb, 1, [1, 2, 0x201, 0]),
    ];
    assert_eq!(caches(0xd, INTEL, &answers, 5)[0].first, ApicId::new(4));
}

#[test]
fn caches_that_are_none_are_left_out() {
    // Level 0, an unknown kind, and one that is there.
    let answers = [
        (4, 0, [0x01, 0, 0, 0]),
        (4, 1, [0x24, 0, 0, 0]),
        (4, 2, [0x221, 0x1fc0_003f, 0, 0]),
    ];
    assert_eq!(
        caches(4, INTEL, &answers, 0),
        [cache(1, CacheKind::Data, 0)]
    );
}

#[test]
fn caches_without_end_are_cut() {
    let endless = |_, _| CpuidResult {
        eax: !0x1f | 3,
        ebx: u32::MAX,
        ecx: u32::MAX,
        edx: 0,
    };
    let topology = Topology::by(&Cpuid::by(&endless), ApicId::new(u32::MAX));
    assert_eq!(topology.caches().count(), 8);
}
