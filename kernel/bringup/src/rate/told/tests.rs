use proptest::prelude::*;
use raw_cpuid::CpuIdResult;

use super::{Leaf, Told};
use crate::rate::{APIC_TIMER_HZ, TSC_HZ};

/// One answer: leaf, then EAX, EBX, ECX, EDX.
type Answer = (u32, [u32; 4]);

/// Vendors: EBX, ECX, EDX of leaf 0.
const INTEL: [u32; 3] = [0x756e_6547, 0x6c65_746e, 0x4965_6e69];
const AMD: [u32; 3] = [0x6874_7541, 0x444d_4163, 0x6974_6e65];
const HYPERVISOR: u32 = 1 << 31;

/// CPUID with these answers; everything else is 0.
fn cpuid(
    max_leaf: u32,
    [ebx, ecx, edx]: [u32; 3],
    answers: &[Answer],
) -> impl Fn(u32, u32) -> CpuIdResult + Clone {
    move |leaf, _| {
        let zero = (0, [max_leaf, ebx, ecx, edx]);
        let mut fits = answers
            .iter()
            .chain([&zero])
            .filter(|answer| answer.0 == leaf);
        let [eax, ebx, ecx, edx] = fits.next().map_or([0; 4], |answer| answer.1);
        CpuIdResult { eax, ebx, ecx, edx }
    }
}

/// Leaf 1 of a CPU of family 6.
const fn model(model: u32, ecx: u32) -> Answer {
    (
        1,
        [(model >> 4) << 16 | 6 << 8 | (model & 0xf) << 4, 0, ecx, 0],
    )
}

fn told(tsc_hz: u64, apic_timer_hz: u64, leaf: Leaf) -> Option<Told> {
    Some(Told {
        tsc_hz,
        apic_timer_hz: (apic_timer_hz != 0).then_some(apic_timer_hz),
        leaf,
    })
}

#[test]
fn leaf_0x15_with_its_crystal() {
    // Alder Lake, as its data sheet has it: 38.4 MHz.
    let answers = [
        model(0x97, 0),
        (0x15, [2, 130, 38_400_000, 0]),
        (0x16, [2_500, 4_900, 100, 0]),
    ];
    let cpuid = cpuid(0x20, INTEL, &answers);
    assert_eq!(
        Told::by_cpu(cpuid),
        told(2_496_000_000, 38_400_000, Leaf::Ratio)
    );
}

#[test]
fn leaf_0x15_without_its_crystal_by_the_model() {
    for (number, ratio, expected) in [
        (0x5e, 292, told(3_504_000_000, 24_000_000, Leaf::Ratio)),
        (0x8e, 216, told(2_592_000_000, 24_000_000, Leaf::Ratio)),
        (0x5c, 114, told(1_094_400_000, 19_200_000, Leaf::Ratio)),
        (0x5f, 144, told(1_800_000_000, 25_000_000, Leaf::Ratio)),
    ] {
        let answers = [model(number, 0), (0x15, [2, ratio, 0, 0])];
        assert_eq!(
            Told::by_cpu(cpuid(0x15, INTEL, &answers)),
            expected,
            "{number:#x}"
        );
    }
    // The same numbers from somebody else mean nothing.
    let answers = [model(0x5e, 0), (0x15, [2, 292, 0, 0])];
    assert_eq!(Told::by_cpu(cpuid(0x15, AMD, &answers)), None);
    let family_15 = (1, [0x0005_0fe0, 0, 0, 0]);
    let answers = [family_15, (0x15, [2, 292, 0, 0])];
    assert_eq!(Told::by_cpu(cpuid(0x15, INTEL, &answers)), None);
}

#[test]
fn leaf_0x15_without_its_crystal_by_the_base_frequency() {
    // One signature, two crystals: Xeon Platinum (2.1 GHz, 25 MHz) and Core i9-7900X (3.3 GHz, 24 MHz).
    let xeon = [
        model(0x55, 0),
        (0x15, [2, 168, 0, 0]),
        (0x16, [2_100, 3_700, 100, 0]),
    ];
    assert_eq!(
        Told::by_cpu(cpuid(0x16, INTEL, &xeon)),
        told(2_100_000_000, 25_000_000, Leaf::Ratio)
    );
    let core = [
        model(0x55, 0),
        (0x15, [2, 276, 0, 0]),
        (0x16, [3_300, 4_300, 100, 0]),
    ];
    assert_eq!(
        Told::by_cpu(cpuid(0x16, INTEL, &core)),
        told(3_312_000_000, 24_000_000, Leaf::Ratio)
    );
    // No crystal fits.
    let odd = [
        model(0x55, 0),
        (0x15, [2, 200, 0, 0]),
        (0x16, [3_300, 4_300, 100, 0]),
    ];
    assert_eq!(
        Told::by_cpu(cpuid(0x16, INTEL, &odd)),
        told(3_300_000_000, 0, Leaf::Base)
    );
}

#[test]
fn leaf_0x16_alone() {
    let answers = [model(0x3f, 0), (0x16, [0xabcd_0000 | 2_300, 3_600, 100, 0])];
    assert_eq!(
        Told::by_cpu(cpuid(0x16, INTEL, &answers)),
        told(2_300_000_000, 0, Leaf::Base)
    );
    // It is beyond the highest leaf: what it answers is another leaf's.
    assert_eq!(Told::by_cpu(cpuid(0x15, INTEL, &answers)), None);
}

#[test]
fn nothing_told() {
    // Leaves that are there, but 0, as on AMD's and in QEMU; and a CPU without CPUID leaves at all.
    assert_eq!(Told::by_cpu(cpuid(0x20, AMD, &[])), None);
    assert_eq!(Told::by_cpu(cpuid(0x20, INTEL, &[model(0x97, 0)])), None);
    assert_eq!(Told::by_cpu(cpuid(0, INTEL, &[])), None);
    assert_eq!(Told::by_hypervisor(cpuid(0, INTEL, &[])), None);
    for ratio in [[0, 130, 38_400_000, 0], [2, 0, 38_400_000, 0]] {
        assert_eq!(Told::by_cpu(cpuid(0x15, INTEL, &[(0x15, ratio)])), None);
    }
}

#[test]
fn what_cannot_be_is_not_told() {
    // 19 Hz; 73 EHz; a base of 65 GHz.
    for ratio in [[2, 1, 38, 0], [1, u32::MAX, u32::MAX, 0]] {
        let answers = [(0x15, ratio), (0x16, [0xffff, 0, 0, 0])];
        assert_eq!(Told::by_cpu(cpuid(0x16, INTEL, &answers)), None);
        // The other leaf is believed all the same.
        let answers = [(0x15, ratio), (0x16, [2_300, 0, 0, 0])];
        let expected = told(2_300_000_000, 0, Leaf::Base);
        assert_eq!(Told::by_cpu(cpuid(0x16, INTEL, &answers)), expected);
    }
}

#[test]
fn in_a_virtual_machine_the_crystal_is_not_the_apic_timers() {
    let answers = [model(0x97, HYPERVISOR), (0x15, [2, 130, 38_400_000, 0])];
    let cpuid = cpuid(0x20, INTEL, &answers);
    assert_eq!(Told::by_cpu(cpuid), told(2_496_000_000, 0, Leaf::Ratio));
}

#[test]
fn the_hypervisors_leaf() {
    // QEMU with KVM and `vmware-cpuid-freq`.
    let qemu = [
        model(0x55, HYPERVISOR),
        (0x4000_0000, [0x4000_0010, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
        (0x4000_0010, [2_294_608, 1_000_000, 0, 0]),
    ];
    let expected = told(2_294_608_000, 1_000_000_000, Leaf::Hypervisor);
    assert_eq!(Told::by_hypervisor(cpuid(0xd, INTEL, &qemu)), expected);

    // No hypervisor: whatever answers, it is none.
    let mut other = qemu;
    other[0] = model(0x55, 0);
    assert_eq!(Told::by_hypervisor(cpuid(0xd, INTEL, &other)), None);
    // One without the leaf.
    let mut other = qemu;
    other[1].1[0] = 0x4000_000f;
    assert_eq!(Told::by_hypervisor(cpuid(0xd, INTEL, &other)), None);
    // With the leaf, but empty, or without a rate for the APIC.
    let mut other = qemu;
    other[2].1 = [0; 4];
    assert_eq!(Told::by_hypervisor(cpuid(0xd, INTEL, &other)), None);
    other[2].1 = [2_000_000, 0, 0, 0];
    let expected = told(2_000_000_000, 0, Leaf::Hypervisor);
    assert_eq!(Told::by_hypervisor(cpuid(0xd, INTEL, &other)), expected);
    other[2].1 = [u32::MAX, u32::MAX, 0, 0];
    assert_eq!(Told::by_hypervisor(cpuid(0xd, INTEL, &other)), None);
}

/// Registers that are often meaningful, sometimes anything.
fn register() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0_u32..300,
        Just(0),
        Just(24_000_000),
        Just(0x4000_0010),
        Just(HYPERVISOR),
        Just(u32::MAX),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_answers_are_too_much(
        registers in prop::collection::vec(prop::array::uniform4(register()), 6),
        vendor in prop_oneof![Just(INTEL), Just(AMD), any::<[u32; 3]>()],
        max_leaf in prop_oneof![Just(0x16_u32), any::<u32>()],
    ) {
        let leaves = [1, 0x15, 0x16, 0x4000_0000, 0x4000_0010, 0x8000_0000];
        let answers: std::vec::Vec<Answer> = leaves.into_iter().zip(registers).collect();
        let reader = cpuid(max_leaf, vendor, &answers);
        for told in [Told::by_cpu(reader.clone()), Told::by_hypervisor(reader)].into_iter().flatten() {
            prop_assert!(TSC_HZ.contains(&told.tsc_hz));
            prop_assert!(told.apic_timer_hz.is_none_or(|hz| APIC_TIMER_HZ.contains(&hz)));
        }
    }
}
