#![expect(
    clippy::unusual_byte_groupings,
    reason = "APIC IDs are grouped by field: package, core, thread"
)]

use core::arch::x86_64::CpuidResult;

use super::{Place, Shape, Topology};
use crate::{
    ApicId,
    cpuid::{
        AMD, Cpuid, HYGON, INTEL,
        tests::{Answer, cpuid},
    },
};

mod amd_nodes;
mod caches;
mod kinds;

fn shape(max_leaf: u32, vendor: [u32; 3], answers: &[Answer]) -> Shape {
    Shape::of(&Cpuid::by(&cpuid(max_leaf, vendor, answers)))
}

/// The topology that the CPU with this APIC ID finds by these answers.
fn topology(max_leaf: u32, vendor: [u32; 3], answers: &[Answer], id: u32) -> Topology {
    let read = cpuid(max_leaf, vendor, answers);
    Topology::by(&Cpuid::by(&read), ApicId::new(id))
}

/// Package, die, core and thread of the CPU with this APIC ID.
fn place(shape: Shape, id: u32) -> (u32, u32, u32, u32) {
    let Place {
        package,
        die,
        core,
        thread,
    } = shape.locate(ApicId::new(id));
    (package, die, core, thread)
}

/// QEMU 7.2, `-smp 9,sockets=3,cores=3,threads=1`.
const QEMU_3_BY_3: [Answer; 3] = [
    (0xb, 0, [0, 1, 0x100, 0]),
    (0xb, 1, [2, 3, 0x201, 0]),
    (0xb, 2, [0, 0, 2, 0]),
];

#[test]
fn leaf_0xb() {
    let three_by_three = shape(0xd, AMD, &QEMU_3_BY_3);
    for (id, package, core) in [
        (0, 0, 0),
        (1, 0, 1),
        (2, 0, 2),
        (4, 1, 0),
        (6, 1, 2),
        (8, 2, 0),
        (10, 2, 2),
    ] {
        assert_eq!(
            place(three_by_three, id),
            (package, 0, core, 0),
            "APIC {id}"
        );
    }
    // An empty leaf 0x1F falls back to it.
    assert_eq!(shape(0x1f, AMD, &QEMU_3_BY_3), three_by_three);
    // 2 threads, 4 cores.
    let answers = [
        (0xb, 0, [1, 2, 0x100, 5]),
        (0xb, 1, [3, 8, 0x201, 5]),
        (0xb, 2, [0, 0, 2, 5]),
    ];
    let with_threads = shape(0xb, INTEL, &answers);
    assert_eq!(place(with_threads, 0b0_10_1), (0, 0, 2, 1));
    assert_eq!(place(with_threads, 0b10_11_1), (2, 0, 3, 1));
    // The widest fields do not overflow.
    let answers = [(0xb, 0, [31, 1, 0x100, 0]), (0xb, 1, [30, 1, 0x201, 0])];
    let widest = shape(0xb, INTEL, &answers);
    assert_eq!(place(widest, u32::MAX), (1, 0, 0, 0x7fff_ffff));
}

#[test]
fn leaf_0x1f_comes_first_and_knows_dies() {
    // QEMU 7.2, 2 dies of 2 cores of 2 threads: leaf 0xB has no dies, but the same package.
    let answers = [
        (0x1f, 0, [1, 2, 0x100, 0]),
        (0x1f, 1, [2, 4, 0x201, 0]),
        (0x1f, 2, [3, 8, 0x502, 0]),
        (0x1f, 3, [0, 0, 3, 0]),
        (0xb, 0, [1, 2, 0x100, 0]),
        (0xb, 1, [7, 8, 0x201, 0]),
    ];
    let shape = shape(0x1f, INTEL, &answers);
    assert_eq!(place(shape, 0b1_0_1_0), (1, 0, 1, 0));
    assert_eq!(place(shape, 0b1_1_0_1), (1, 1, 0, 1));
}

#[test]
fn levels_nobody_has_heard_of_do_not_hurt() {
    let answers = [
        (0x1f, 0, [1, 2, 0x100, 0]),
        (0x1f, 1, [4, 16, 0x201, 0]),
        (0x1f, 2, [5, 32, 0x602, 0]),
        (0x1f, 3, [6, 64, 0xff03, 0]),
    ];
    let shape = shape(0x1f, INTEL, &answers);
    assert_eq!(place(shape, 0b11_11_010_1), (3, 0b11, 0b010, 1));
}

#[test]
fn modules_and_tiles_are_part_of_the_core() {
    // Threads, cores, modules, tiles, dies, groups of dies: 1 bit each.
    let level = |number, kind| {
        (
            0x1f,
            number,
            [number + 1, 2_u32 << number, kind << 8 | number, 0],
        )
    };
    let answers = [1, 2, 3, 4, 5, 6].map(|kind| level(kind - 1, kind));
    let shape = shape(0x1f, INTEL, &answers);
    assert_eq!(place(shape, 0b1_10_101_1), (1, 0b10, 0b101, 1));
}

#[test]
fn a_list_of_levels_without_end_is_cut() {
    // 0x1f is both the highest leaf and the shift of every level.
    let shape = Shape::of(&Cpuid::by(&|_, _| CpuidResult {
        eax: 0x1f,
        ebx: 1,
        ecx: 0x200,
        edx: 0,
    }));
    assert_eq!(place(shape, u32::MAX), (1, 0, 0x7fff_ffff, 0));
}

#[test]
fn the_vendors_older_leaves() {
    type Machine<'a> = (&'a str, u32, [u32; 3], &'a [Answer], u32, [u32; 3]);
    // The highest leaf, the vendor, the answers; an APIC ID, its package, core and thread.
    let machines: [Machine<'_>; 6] = [
        (
            "AMD, 16 cores of 2 threads: ApicIdSize 5, NC 31; ThreadsPerCore - 1 = 1",
            1,
            AMD,
            &[
                (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
                (0x8000_0008, 0, [0, 0, 0x501f, 0]),
                (0x8000_001e, 0, [0, 0x100, 0, 0]),
            ],
            0b1_0110_1,
            [1, 6, 1],
        ),
        (
            "AMD, 6 cores of 1 thread, no ApicIdSize and no leaf 0x8000_001E",
            1,
            AMD,
            &[
                (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
                (0x8000_0008, 0, [0, 0, 5, 0]),
            ],
            0b10_101,
            [2, 5, 0],
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
            0b1_10_10,
            [1, 2, 2],
        ),
        (
            "Intel, 16 IDs per package, 8 of them cores; HTT",
            4,
            INTEL,
            &[
                (1, 0, [0, 16 << 16, 0, 1 << 28]),
                (4, 0, [7 << 26 | 1, 0, 0, 0]),
            ],
            0b1_110_1,
            [1, 6, 1],
        ),
        (
            "Intel without leaf 4: threads only",
            2,
            INTEL,
            &[(1, 0, [0, 2 << 16, 0, 1 << 28])],
            0b11,
            [1, 0, 1],
        ),
        (
            "Intel without HTT: every CPU is a package",
            2,
            INTEL,
            &[(1, 0, [0, 4 << 16, 0, 0])],
            3,
            [3, 0, 0],
        ),
    ];
    for (name, max_leaf, vendor, answers, id, [package, core, thread]) in machines {
        let shape = shape(max_leaf, vendor, answers);
        assert_eq!(place(shape, id), (package, 0, core, thread), "{name}");
    }
}

/// QEMU 7.2, `-cpu EPYC -smp 16,sockets=2,dies=2,cores=2,threads=2`: leaf 0xB has no dies, leaf
/// 0x8000_001E calls them nodes.
const QEMU_EPYC: [Answer; 10] = [
    (1, 0, [0x0080_0f12, 0, 0, 0]),
    (0xb, 0, [1, 2, 0x100, 0]),
    (0xb, 1, [3, 4, 0x201, 0]),
    (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
    (0x8000_0008, 0, [0x3028, 0, 0x3003, 0]),
    (0x8000_001d, 0, [0x4121, 0x01c0_003f, 0x3f, 1]),
    (0x8000_001d, 1, [0x4122, 0x00c0_003f, 0xff, 1]),
    (0x8000_001d, 2, [0x4043, 0x01c0_003f, 0x3ff, 0]),
    (0x8000_001d, 3, [0xc163, 0x03c0_003f, 0x1fff, 6]),
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

#[test]
fn amd_by_leaf_0x8000_0026() {
    // A package of 4 dies of 2 complexes of 8 cores of 2 threads.
    let answers = [
        (0xb, 0, [1, 2, 0x100, 0]),
        (0xb, 1, [7, 128, 0x201, 0]),
        (0x8000_0000, 0, [0x8000_0026, 0, 0, 0]),
        (0x8000_0026, 0, [1, 2, 0x100, 0]),
        (0x8000_0026, 1, [4, 16, 0x201, 0]),
        (0x8000_0026, 2, [5, 32, 0x302, 0]),
        (0x8000_0026, 3, [7, 128, 0x403, 0]),
    ];
    let shape = shape(0x10, AMD, &answers);
    assert_eq!(place(shape, 0b1_10_1_011_1), (1, 2, 0b1_011, 1));
    assert_eq!(topology(0x10, AMD, &answers, 0).kind, None);
}
