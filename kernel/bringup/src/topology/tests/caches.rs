//! Caches, and the CPUs that share them.

use core::arch::x86_64::CpuidResult;

use super::super::{Cache, CacheKind, Topology};
use super::{AMD, Cpuid, CpuidLeaf, INTEL, topology};
use crate::ApicId;

/// The lowest APIC ID that shares it comes last.
pub(super) fn cache(level: u8, kind: CacheKind, first: u32) -> Cache {
    let first = ApicId::new(first);
    Cache { level, kind, first }
}

const L1D: (u8, CacheKind) = (1, CacheKind::Data);
const L1I: (u8, CacheKind) = (1, CacheKind::Instruction);
const L2: (u8, CacheKind) = (2, CacheKind::Unified);
const L3: (u8, CacheKind) = (3, CacheKind::Unified);

/// Highest leaf, vendor, answers, an APIC ID; the caches, each with the lowest ID that shares it.
type Machine =
    (&'static str, u32, [u32; 3], &'static [CpuidLeaf], u32, &'static [((u8, CacheKind), u32)]);

const MACHINES: [Machine; 5] = [
    (
        "QEMU 7.2, `-cpu Skylake-Server -smp 12,sockets=2,cores=3,threads=2`",
        0xd,
        INTEL,
        &[
            (4, 0, [0x0800_0121, 0x01c0_003f, 0x3f, 1]),
            (4, 1, [0x0800_0122, 0x01c0_003f, 0x3f, 1]),
            (4, 2, [0x0800_4143, 0x03c0_003f, 0xfff, 1]),
            (4, 3, [0x0801_c163, 0x03c0_003f, 0x3fff, 6]),
            (0xb, 0, [1, 2, 0x100, 0]),
            (0xb, 1, [3, 6, 0x201, 0]),
            // Real ones leave this one empty.
            (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
            (0x8000_0005, 0, [0, 0, 0x4002_0140, 0x4002_0140]),
        ],
        0b1_01_1,
        &[(L1D, 0b1_01_1), (L1I, 0b1_01_1), (L2, 0b1_01_0), (L3, 0b1_00_0)],
    ),
    (
        // 15 CPUs share an L3 cache, among 32 IDs: AMD counts CPUs.
        "QEMU 7.2, `-cpu EPYC -smp 30,dies=2,cores=5,threads=3`",
        0xd,
        AMD,
        &[
            (0xb, 0, [2, 3, 0x100, 0]),
            (0xb, 1, [6, 15, 0x201, 0]),
            (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
            (0x8000_001d, 0, [0x8121, 0x01c0_003f, 0x3f, 1]),
            (0x8000_001d, 1, [0x38163, 0x03c0_003f, 0x1fff, 6]),
            (0x8000_001e, 0, [0, 0x200, 0x100, 0]),
        ],
        0b1_100_10,
        &[(L1D, 0b1_100_00), (L3, 0b1_000_00)],
    ),
    (
        // By AMD's oldest leaves.
        "QEMU 7.2, `-cpu max -smp 12,sockets=2,cores=3,threads=2`",
        0xd,
        AMD,
        &[
            (0xb, 0, [1, 2, 0x100, 0]),
            (0xb, 1, [3, 6, 0x201, 0]),
            (0x8000_0000, 0, [0x8000_000a, 0, 0, 0]),
            (0x8000_0005, 0, [0x01ff_01ff, 0x01ff_01ff, 0x4002_0140, 0x40ff_0140]),
            (0x8000_0006, 0, [0, 0x4200_4200, 0x0200_8140, 0x0080_8140]),
        ],
        0b1_10_1,
        &[(L1D, 0b1_10_0), (L1I, 0b1_10_0), (L2, 0b1_10_0), (L3, 0b1_00_0)],
    ),
    (
        "the real CPU's L3 cache, of 64 IDs, in a guest whose packages have 2",
        0xd,
        INTEL,
        &[
            (4, 0, [0x000f_c163, 0x03c0_003f, 0x3fff, 0]),
            (0xb, 0, [0, 1, 0x100, 0]),
            (0xb, 1, [1, 2, 0x201, 0]),
        ],
        5,
        &[(L3, 4)],
    ),
    (
        "level 0, an unknown kind, and one that is there",
        4,
        INTEL,
        &[(4, 0, [0x01, 0, 0, 0]), (4, 1, [0x24, 0, 0, 0]), (4, 2, [0x221, 0x1fc0_003f, 0, 0])],
        0,
        &[(L1D, 0)],
    ),
];

#[test]
fn caches_and_the_cpus_that_share_them() {
    for (name, max_leaf, vendor, answers, id, expected) in MACHINES {
        let found = topology(max_leaf, vendor, answers, id);
        let expected = expected.iter().map(|&((level, kind), first)| cache(level, kind, first));
        assert!(found.caches().eq(expected), "{name}: {found:?}");
    }
}

#[test]
fn caches_without_end_are_cut() {
    let endless = |_, _| CpuidResult { eax: !0x1f | 3, ebx: u32::MAX, ecx: u32::MAX, edx: 0 };
    let topology = Topology::by(&Cpuid::by(&endless), ApicId::new(u32::MAX));
    assert_eq!(topology.caches().count(), 8);
}
