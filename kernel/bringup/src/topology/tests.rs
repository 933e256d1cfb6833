#![expect(
    clippy::unusual_byte_groupings,
    reason = "APIC IDs are grouped by field: package, core, thread"
)]

use core::arch::x86_64::CpuidResult;

use super::{IdFields, Place, Topology};
use crate::{
    ApicId,
    cpuid::{
        AMD, Cpuid, HYGON, INTEL,
        tests::{CpuidLeaf, cpuid},
    },
};

mod amd_nodes;
mod caches;
mod kinds;
mod lies;

fn shape(max_leaf: u32, vendor: [u32; 3], answers: &[CpuidLeaf]) -> IdFields {
    IdFields::of(&Cpuid::by(&cpuid(max_leaf, vendor, answers)))
}

/// The topology that the CPU with this APIC ID finds by these answers.
fn topology(max_leaf: u32, vendor: [u32; 3], answers: &[CpuidLeaf], id: u32) -> Topology {
    let read = cpuid(max_leaf, vendor, answers);
    Topology::by(&Cpuid::by(&read), ApicId::new(id))
}

/// Package, die, core and thread of the CPU with this APIC ID.
fn place(shape: IdFields, id: u32) -> (u32, u32, u32, u32) {
    let Place { package, die, core, thread } = shape.locate(ApicId::new(id));
    (package, die, core, thread)
}

/// A name, the highest leaf, the vendor, the answers; by APIC ID: package, die, core and thread.
type Machine =
    (&'static str, u32, [u32; 3], &'static [CpuidLeaf], &'static [(u32, (u32, u32, u32, u32))]);

const MACHINES: [Machine; 8] = [
    (
        "an empty leaf 0x1F: QEMU 7.2, `-smp 9,sockets=3,cores=3,threads=1`",
        0x1f,
        AMD,
        &[(0xb, 0, [0, 1, 0x100, 0]), (0xb, 1, [2, 3, 0x201, 0]), (0xb, 2, [0, 0, 2, 0])],
        &[(0b00_10, (0, 0, 2, 0)), (0b10_10, (2, 0, 2, 0))],
    ),
    (
        // Leaf 0xB has no dies, but the same package.
        "leaf 0x1F comes first, and knows dies: QEMU 7.2, 2 dies of 2 cores of 2 threads",
        0x1f,
        INTEL,
        &[
            (0x1f, 0, [1, 2, 0x100, 0]),
            (0x1f, 1, [2, 4, 0x201, 0]),
            (0x1f, 2, [3, 8, 0x502, 0]),
            (0x1f, 3, [0, 0, 3, 0]),
            (0xb, 0, [1, 2, 0x100, 0]),
            (0xb, 1, [7, 8, 0x201, 0]),
        ],
        &[(0b1_0_1_0, (1, 0, 1, 0)), (0b1_1_0_1, (1, 1, 0, 1))],
    ),
    (
        "threads, cores, modules, tiles, dies, an unknown type: 1 bit each",
        0x1f,
        INTEL,
        &[
            (0x1f, 0, [1, 2, 0x100, 0]),
            (0x1f, 1, [2, 4, 0x201, 0]),
            (0x1f, 2, [3, 8, 0x302, 0]),
            (0x1f, 3, [4, 16, 0x403, 0]),
            (0x1f, 4, [5, 32, 0x504, 0]),
            (0x1f, 5, [6, 64, 0xff05, 0]),
        ],
        &[(0b1_10_101_1, (1, 0b10, 0b101, 1))],
    ),
    (
        "AMD by leaf 0x8000_0026: 4 dies of 2 complexes of 8 cores of 2 threads",
        0x10,
        AMD,
        &[
            (0xb, 0, [1, 2, 0x100, 0]),
            (0xb, 1, [7, 128, 0x201, 0]),
            (0x8000_0000, 0, [0x8000_0026, 0, 0, 0]),
            (0x8000_0026, 0, [1, 2, 0x100, 0]),
            (0x8000_0026, 1, [4, 16, 0x201, 0]),
            (0x8000_0026, 2, [5, 32, 0x302, 0]),
            (0x8000_0026, 3, [7, 128, 0x403, 0]),
        ],
        &[(0b1_10_1_011_1, (1, 2, 0b1_011, 1))],
    ),
    (
        "AMD, 6 cores of 1 thread, no ApicIdSize and no leaf 0x8000_001E",
        1,
        AMD,
        &[(0x8000_0000, 0, [0x8000_0008, 0, 0, 0]), (0x8000_0008, 0, [0, 0, 5, 0])],
        &[(0b10_101, (2, 0, 5, 0))],
    ),
    (
        // ECX of leaf 0x8000_0008 is AMD's.
        "QEMU 7.2, `-cpu core2duo -smp 18,sockets=2,cores=3,threads=3`",
        0xa,
        INTEL,
        &[
            (1, 0, [0, 9 << 16, 0, 1 << 28]),
            (4, 0, [2 << 26 | 0x121, 0x01c0_003f, 0x3f, 0]),
            (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
            (0x8000_0008, 0, [0x3028, 0, 0x4008, 0]),
        ],
        &[(0b1_10_10, (1, 0, 2, 2))],
    ),
    (
        "Intel, 16 IDs per package, 8 of them cores; HTT",
        4,
        INTEL,
        &[(1, 0, [0, 16 << 16, 0, 1 << 28]), (4, 0, [7 << 26 | 1, 0, 0, 0])],
        &[(0b1_110_1, (1, 0, 6, 1))],
    ),
    (
        "Intel without HTT: every CPU is a package",
        2,
        INTEL,
        &[(1, 0, [0, 4 << 16, 0, 0])],
        &[(3, (3, 0, 0, 0))],
    ),
];

#[test]
fn the_place_by_each_leaf() {
    for (name, max_leaf, vendor, answers, places) in MACHINES {
        let shape = shape(max_leaf, vendor, answers);
        for (id, expected) in places {
            assert_eq!(place(shape, *id), *expected, "{name}, APIC {id}");
        }
        assert_eq!(topology(max_leaf, vendor, answers, 0).kind, None, "{name}");
    }
}

#[test]
fn a_list_of_levels_without_end_is_cut() {
    // 0x1f is both the highest leaf and the shift of every level.
    let shape =
        IdFields::of(&Cpuid::by(&|_, _| CpuidResult { eax: 0x1f, ebx: 1, ecx: 0x200, edx: 0 }));
    assert_eq!(place(shape, u32::MAX), (1, 0, 0x7fff_ffff, 0));
}

/// QEMU 7.2, `-cpu EPYC -smp 16,sockets=2,dies=2,cores=2,threads=2`: leaf 0xB has no dies, leaf
/// 0x8000_001E calls them nodes.
const QEMU_EPYC: [CpuidLeaf; 6] = [
    (1, 0, [0x0080_0f12, 0, 0, 0]),
    (0xb, 0, [1, 2, 0x100, 0]),
    (0xb, 1, [3, 4, 0x201, 0]),
    (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
    (0x8000_0008, 0, [0x3028, 0, 0x3003, 0]),
    (0x8000_001e, 0, [0, 0x100, 0x100, 0]),
];

#[test]
fn amd_nodes_are_dies() {
    for vendor in [AMD, HYGON] {
        // With leaf 0xB, and by the older leaves alone.
        for max_leaf in [0xd, 1] {
            let shape = shape(max_leaf, vendor, &QEMU_EPYC);
            assert_eq!(place(shape, 0b1_1_0_1), (1, 1, 0, 1));
            assert_eq!(place(shape, 0b1_0_1_0), (1, 0, 1, 0));
        }
    }
    // On other vendors' CPUs the leaf means nothing.
    let shape = shape(0xd, INTEL, &QEMU_EPYC);
    assert_eq!(place(shape, 0b1_1_0_1), (1, 0, 2, 1));
}
