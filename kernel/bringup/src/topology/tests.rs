#![expect(
    clippy::unusual_byte_groupings,
    reason = "APIC IDs are grouped by field: package, core, thread"
)]

use raw_cpuid::CpuIdResult;

use super::{Leaves, Place, Shape, Topology};
use crate::ApicId;

mod amd_nodes;
mod caches;
mod kinds;

/// One recorded answer: leaf, sub-leaf, then EAX, EBX, ECX, EDX.
type Answer = (u32, u32, [u32; 4]);

const INTEL: [u32; 3] = [0x756e_6547, 0x6c65_746e, 0x4965_6e69];
const AMD: [u32; 3] = [0x6874_7541, 0x444d_4163, 0x6974_6e65];
const HYGON: [u32; 3] = [0x6f67_7948, 0x656e_6975, 0x6e65_476e];

/// CPUID with these answers; everything else is 0.
fn cpuid(
    max_leaf: u32,
    vendor: [u32; 3],
    answers: &[Answer],
) -> impl Fn(u32, u32) -> CpuIdResult + Clone {
    move |leaf, sub_leaf| {
        let [ebx, ecx, edx] = vendor;
        let zero = (0, 0, [max_leaf, ebx, ecx, edx]);
        let all = answers.iter().chain([&zero]);
        let mut fits = all.filter(|answer| (answer.0, answer.1) == (leaf, sub_leaf));
        let [eax, ebx, ecx, edx] = fits.next().map_or([0; 4], |answer| answer.2);
        CpuIdResult { eax, ebx, ecx, edx }
    }
}

fn shape(max_leaf: u32, vendor: [u32; 3], answers: &[Answer]) -> Shape {
    Shape::of(&Leaves::of(&cpuid(max_leaf, vendor, answers)))
}

/// The topology that the CPU with this APIC ID finds by these answers.
fn topology(max_leaf: u32, vendor: [u32; 3], answers: &[Answer], id: u32) -> Topology {
    Topology::read(&cpuid(max_leaf, vendor, answers), ApicId::new(id))
}

/// Package, core and thread of a machine without dies.
fn place(shape: Shape, id: u32) -> (u32, u32, u32) {
    let (package, die, core, thread) = full_place(shape, id);
    assert_eq!(die, 0, "APIC {id}");
    (package, core, thread)
}

fn full_place(shape: Shape, id: u32) -> (u32, u32, u32, u32) {
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
fn leaf_0xb_three_sockets_of_three_cores() {
    let shape = shape(0xd, AMD, &QEMU_3_BY_3);
    let expected = [
        (0, (0, 0, 0)),
        (1, (0, 1, 0)),
        (2, (0, 2, 0)),
        (4, (1, 0, 0)),
        (5, (1, 1, 0)),
        (6, (1, 2, 0)),
        (8, (2, 0, 0)),
        (9, (2, 1, 0)),
        (10, (2, 2, 0)),
    ];
    for (id, expected) in expected {
        assert_eq!(place(shape, id), expected, "APIC {id}");
    }
}

#[test]
fn leaf_0xb_with_threads() {
    // 2 threads, 4 cores.
    let answers = [
        (0xb, 0, [1, 2, 0x100, 5]),
        (0xb, 1, [3, 8, 0x201, 5]),
        (0xb, 2, [0, 0, 2, 5]),
    ];
    let shape = shape(0xb, INTEL, &answers);
    assert_eq!(place(shape, 0b0_00_0), (0, 0, 0));
    assert_eq!(place(shape, 0b0_10_1), (0, 2, 1));
    assert_eq!(place(shape, 0b10_11_1), (2, 3, 1));
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
    assert_eq!(full_place(shape, 0b1_0_1_0), (1, 0, 1, 0));
    assert_eq!(full_place(shape, 0b1_1_0_1), (1, 1, 0, 1));
}

#[test]
fn an_empty_leaf_0x1f_falls_back_to_0xb() {
    let shape = shape(0x1f, AMD, &QEMU_3_BY_3);
    assert_eq!(place(shape, 10), (2, 2, 0));
}

#[test]
fn a_leaf_beyond_the_highest_is_not_believed() {
    // Intel CPUs answer leaves beyond the highest with the data of the highest.
    let shape = shape(0xa, INTEL, &QEMU_3_BY_3);
    assert_eq!(place(shape, 10), (10, 0, 0));
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
    assert_eq!(full_place(shape, 0b11_11_010_1), (3, 0b11, 0b010, 1));
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
    assert_eq!(full_place(shape, 0b1_10_101_1), (1, 0b10, 0b101, 1));
}

#[test]
fn a_list_of_levels_without_end_is_cut() {
    // 0x1f is both the highest leaf and the shift of every level.
    let shape = Shape::of(&Leaves::of(&|_, _| CpuIdResult {
        eax: 0x1f,
        ebx: 1,
        ecx: 0x200,
        edx: 0,
    }));
    assert_eq!(place(shape, u32::MAX), (1, 0x7fff_ffff, 0));
}

#[test]
fn amd_by_field_size() {
    // 16 cores of 2 threads: ApicIdSize 5, NC 31; ThreadsPerCore - 1 = 1.
    let answers = [
        (0x8000_0000, 0, [0x8000_001e, 0, 0, 0]),
        (0x8000_0008, 0, [0, 0, 0x501f, 0]),
        (0x8000_001e, 0, [0, 0x100, 0, 0]),
    ];
    let shape = shape(1, AMD, &answers);
    assert_eq!(place(shape, 0b1_0110_1), (1, 6, 1));
}

#[test]
fn amd_by_number_of_threads() {
    // 6 cores of 1 thread, no ApicIdSize and no leaf 0x8000_001E.
    let answers = [
        (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
        (0x8000_0008, 0, [0, 0, 5, 0]),
    ];
    let shape = shape(1, AMD, &answers);
    assert_eq!(place(shape, 0b10_101), (2, 5, 0));
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
            assert_eq!(full_place(shape, 0b1_1_0_1), (1, 1, 0, 1));
            assert_eq!(full_place(shape, 0b1_0_1_0), (1, 0, 1, 0));
        }
    }
    // On other vendors' CPUs the leaf means nothing.
    assert_eq!(place(shape(0xd, INTEL, &QEMU_EPYC), 0b1_1_0_1), (1, 2, 1));
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
    assert_eq!(full_place(shape, 0b1_10_1_011_1), (1, 2, 0b1_011, 1));
    assert_eq!(topology(0x10, AMD, &answers, 0).kind, None);
}

#[test]
fn intels_older_leaves_are_not_taken_for_amds() {
    // QEMU 7.2, `-cpu core2duo -smp 18,sockets=2,cores=3,threads=3`: ECX of leaf 0x8000_0008 is
    // AMD's.
    let answers = [
        (1, 0, [0, 9 << 16, 0, 1 << 28]),
        (4, 0, [2 << 26 | 0x121, 0x01c0_003f, 0x3f, 0]),
        (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
        (0x8000_0008, 0, [0x3028, 0, 0x4008, 0]),
    ];
    let shape = shape(0xa, INTEL, &answers);
    assert_eq!(place(shape, 0b1_10_10), (1, 2, 2));
}

#[test]
fn intel_by_leaves_1_and_4() {
    // 16 IDs per package, 8 of them cores; HTT.
    let answers = [
        (1, 0, [0, 16 << 16, 0, 1 << 28]),
        (4, 0, [7 << 26 | 1, 0, 0, 0]),
    ];
    let shape = shape(4, INTEL, &answers);
    assert_eq!(place(shape, 0b1_110_1), (1, 6, 1));
}

#[test]
fn intel_without_leaf_4_has_threads_only() {
    let shape = shape(2, INTEL, &[(1, 0, [0, 2 << 16, 0, 1 << 28])]);
    assert_eq!(place(shape, 0b11), (1, 0, 1));
}

#[test]
fn without_htt_every_cpu_is_a_package() {
    let shape = shape(2, INTEL, &[(1, 0, [0, 4 << 16, 0, 0])]);
    assert_eq!(place(shape, 3), (3, 0, 0));
}

#[test]
fn the_widest_fields_do_not_overflow() {
    let answers = [(0xb, 0, [31, 1, 0x100, 0]), (0xb, 1, [30, 1, 0x201, 0])];
    let shape = shape(0xb, INTEL, &answers);
    assert_eq!(place(shape, u32::MAX), (1, 0, 0x7fff_ffff));
}
