#![expect(
    clippy::unusual_byte_groupings,
    reason = "APIC IDs are grouped by field: package, core, thread"
)]

use raw_cpuid::CpuIdResult;

use super::{Cache, CacheKind, CoreKind, Place, Shape, Topology};
use crate::ApicId;

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
    Shape::read(&cpuid(max_leaf, vendor, answers))
}

/// What the CPU with this APIC ID finds.
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

/// Level, kind, KiB, ways, bytes of a line, lowest APIC ID of those who share it.
fn cache(level: u8, kind: CacheKind, kib: u64, ways: u16, line: u16, first: u32) -> Cache {
    Cache {
        level,
        kind,
        bytes: kib << 10,
        ways,
        line,
        first: ApicId::new(first),
    }
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
    // QEMU 7.2, 2 dies of 2 cores of 2 threads: leaf 0xB knows no dies but the same package.
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
    let shape = Shape::read(&|_, _| CpuIdResult {
        eax: 0x1f,
        ebx: 1,
        ecx: 0x200,
        edx: 0,
    });
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

/// QEMU 7.2, `-cpu EPYC -smp 16,sockets=2,dies=2,cores=2,threads=2`: leaf 0xB knows no dies, leaf
/// 0x8000_001E calls them nodes.
const QEMU_EPYC: [Answer; 9] = [
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
    // On others' CPUs, the leaf is nobody's.
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
fn amd_mixed_cores() {
    let kind = |core: u32, mixed: u32| {
        let answers = [
            (0x8000_0000, 0, [0x8000_0026, 0, 0, 0]),
            (0x8000_0026, 0, [1, core << 28 | 2, 0x100, 0]),
            (0x8000_0026, 1, [mixed << 30 | 4, 16, 0x403, 0]),
        ];
        topology(1, AMD, &answers, 0).kind
    };
    assert_eq!(kind(0, 1), Some(CoreKind::Performance));
    assert_eq!(kind(1, 1), Some(CoreKind::Efficiency));
    assert_eq!(kind(2, 1), None);
    // All of a kind: nothing to tell apart.
    assert_eq!(kind(0, 0), None);
}

#[test]
fn intel_mixed_cores() {
    // Leaves 4 and 0x1A of a Core i9-12900K: cores with an L2 cache of their own, and modules of four
    // small cores that share one; the package has 64 IDs per L3 cache.
    let machine = |model: u32, l2: u32, id| {
        let answers = [
            (
                4,
                0,
                [0xfc00_4143 & !0x03ff_c000 | l2 << 14, 0x0240_003f, 0x7ff, 0],
            ),
            (4, 1, [0xfc1f_c163, 0x0240_003f, 0xbfff, 4]),
            (7, 0, [1, 0, 0, 1 << 15]),
            (0xb, 0, [1, 2, 0x100, id]),
            (0xb, 1, [7, 24, 0x201, id]),
            (0x1a, 0, [model, 0, 0, 0]),
        ];
        topology(0x20, INTEL, &answers, id)
    };
    let (fast, small) = (machine(0x4000_0001, 1, 18), machine(0x2000_0001, 7, 76));
    assert_eq!(fast.kind, Some(CoreKind::Performance));
    assert_eq!(small.kind, Some(CoreKind::Efficiency));
    // 18 >> 1 and 76 >> 3 are both 9: the caches have different names all the same.
    assert_eq!(
        fast.caches[0],
        cache(2, CacheKind::Unified, 1280, 10, 64, 18)
    );
    assert_eq!(small.caches[0].first, ApicId::new(72));
    assert_eq!(fast.caches[1], small.caches[1]);
    assert_eq!(
        fast.caches[1],
        cache(3, CacheKind::Unified, 30 << 10, 10, 64, 0)
    );
    assert_eq!(machine(0x3000_0000, 1, 0).kind, None);
}

#[test]
fn a_machine_of_equal_cores_has_no_kinds() {
    let answers = [(0x1a, 0, [0x4000_0001, 0, 0, 0])];
    assert_eq!(topology(0x20, INTEL, &answers, 0).kind, None);
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
        *topology(0xd, INTEL, &answers, 0b1_01_1).caches,
        [
            cache(1, Data, 32, 8, 64, 0b1_01_1),
            cache(1, Instruction, 32, 8, 64, 0b1_01_1),
            cache(2, Unified, 4096, 16, 64, 0b1_01_0),
            cache(3, Unified, 16384, 16, 64, 0b1_00_0),
        ]
    );
}

#[test]
fn amd_caches() {
    use CacheKind::{Data, Instruction, Unified};
    assert_eq!(
        *topology(0xd, AMD, &QEMU_EPYC, 0b1_1_1_1).caches,
        [
            cache(1, Data, 32, 8, 64, 0b1_1_1_0),
            cache(1, Instruction, 64, 4, 64, 0b1_1_1_0),
            cache(2, Unified, 512, 8, 64, 0b1_1_1_0),
            cache(3, Unified, 8192, 16, 64, 0b1_1_0_0),
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
    let last = topology(0xd, AMD, &answers, 0b1_100_10);
    assert_eq!(last.caches[0].first, ApicId::new(0b1_100_00));
    assert_eq!(last.caches[1].first, ApicId::new(0b1_000_00));
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
        *topology(0xd, AMD, &answers, 0b1_10_1).caches,
        [
            cache(1, Data, 64, 2, 64, 0b1_10_0),
            cache(1, Instruction, 64, 0, 64, 0b1_10_0),
            cache(2, Unified, 512, 16, 64, 0b1_10_0),
            cache(3, Unified, 16384, 16, 64, 0b1_00_0),
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
    let caches = topology(0xd, INTEL, &answers, 5).caches;
    assert_eq!(caches[0].first, ApicId::new(4));
}

#[test]
fn caches_that_are_none_are_left_out() {
    // Level 0, a kind nobody knows, and a fully associative one of a single set.
    let answers = [
        (4, 0, [0x01, 0, 0, 0]),
        (4, 1, [0x24, 0, 0, 0]),
        (4, 2, [0x221, 0x1fc0_003f, 0, 0]),
    ];
    let caches = topology(4, INTEL, &answers, 0).caches;
    assert_eq!(caches.len(), 1);
    assert_eq!((caches[0].bytes, caches[0].ways), (128 * 64, 0));
}

#[test]
fn caches_without_end_are_cut() {
    let endless = |_, _| CpuIdResult {
        eax: u32::MAX & !0x1f | 3,
        ebx: u32::MAX,
        ecx: u32::MAX,
        edx: 0,
    };
    let caches = Topology::read(&endless, ApicId::new(u32::MAX)).caches;
    assert!(!caches.is_empty() && caches.len() <= 8);
    assert_eq!(caches[0].bytes, u64::MAX);
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
