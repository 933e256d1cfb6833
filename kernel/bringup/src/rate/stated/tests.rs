use super::{Stated, by_cpu, by_hypervisor};
use crate::cpuid::{
    AMD, Cpuid, INTEL,
    tests::{CpuidLeaf, cpuid},
};

const HYPERVISOR: u32 = 1 << 31;

/// Leaf 1 of a CPU of family 6.
const fn model(model: u32, ecx: u32) -> CpuidLeaf {
    let eax = (model >> 4) << 16 | 6 << 8 | (model & 0xf) << 4;
    (1, 0, [eax, 0, ecx, 0])
}

const fn ratio(denominator: u32, numerator: u32, crystal_hz: u32) -> CpuidLeaf {
    (0x15, 0, [denominator, numerator, crystal_hz, 0])
}

const fn base(mhz: u32) -> CpuidLeaf {
    (0x16, 0, [mhz, 4_900, 100, 0])
}

/// TSC's rate, APIC timer's (0: none).
type Rates = (u64, u64);

fn rates(stated: Option<Stated>) -> Option<Rates> {
    stated.map(|it| (it.tsc_hz, it.apic_timer_hz.unwrap_or(0)))
}

/// The rates by a CPU whose highest leaf is 0x16.
fn of_cpu(vendor: [u32; 3], answers: &[CpuidLeaf]) -> Option<Rates> {
    rates(by_cpu(&Cpuid::by(&cpuid(0x16, vendor, answers))))
}

#[test]
fn what_the_cpu_states() {
    let machines: [(&str, &[CpuidLeaf], Option<Rates>); 10] = [
        (
            "Alder Lake, as its data sheet has it: 38.4 MHz",
            &[model(0x97, 0), ratio(2, 130, 38_400_000), base(2_500)],
            Some((2_496_000_000, 38_400_000)),
        ),
        (
            "the crystal by the model",
            &[model(0x5e, 0), ratio(2, 292, 0)],
            Some((3_504_000_000, 24_000_000)),
        ),
        ("the same", &[model(0x5f, 0), ratio(2, 144, 0)], Some((1_800_000_000, 25_000_000))),
        (
            "the number of a model of another family",
            &[(1, 0, [0x0005_0fe0, 0, 0, 0]), ratio(2, 292, 0)],
            None,
        ),
        (
            "one signature, two crystals: Xeon Platinum, 2.1 GHz",
            &[model(0x55, 0), ratio(2, 168, 0), base(2_100)],
            Some((2_100_000_000, 25_000_000)),
        ),
        (
            "and Core i9-7900X, 3.3 GHz",
            &[model(0x55, 0), ratio(2, 276, 0), base(3_300)],
            Some((3_312_000_000, 24_000_000)),
        ),
        (
            "no crystal fits",
            &[model(0x55, 0), ratio(2, 200, 0), base(3_300)],
            Some((3_300_000_000, 0)),
        ),
        (
            "the base frequency alone, and something above it",
            &[model(0x3f, 0), base(0xabcd_0000 | 2_300)],
            Some((2_300_000_000, 0)),
        ),
        ("half a ratio", &[ratio(0, 130, 38_400_000)], None),
        ("a base of 65 GHz", &[base(0xffff)], None),
    ];
    for (name, answers, expected) in machines {
        assert_eq!(of_cpu(INTEL, answers), expected, "{name}");
    }
    // The same numbers from another vendor mean nothing.
    assert_eq!(of_cpu(AMD, machines[1].1), None);
    // 19 Hz; 73 EHz. The other leaf is believed all the same.
    for ratio in [ratio(2, 1, 38), ratio(1, u32::MAX, u32::MAX)] {
        assert_eq!(of_cpu(INTEL, &[ratio]), None);
        let expected = Some((2_300_000_000, 0));
        assert_eq!(of_cpu(INTEL, &[ratio, base(2_300)]), expected);
    }
}

#[test]
fn in_a_virtual_machine_the_crystal_is_not_the_apic_timers() {
    let answers = [model(0x97, HYPERVISOR), ratio(2, 130, 38_400_000)];
    assert_eq!(of_cpu(INTEL, &answers), Some((2_496_000_000, 0)));
}

#[test]
fn what_the_hypervisor_states() {
    let kvm = [0x4b4d_564b, 0x564b_4d56, 0x4d];
    for (features, highest, [eax, ebx], expected) in [
        // QEMU with KVM and `vmware-cpuid-freq`.
        (HYPERVISOR, 0x10, [2_294_608, 1_000_000], Some((2_294_608_000, 1_000_000_000))),
        // No hypervisor; one without the leaf; an empty one.
        (0, 0x10, [2_294_608, 1_000_000], None),
        (HYPERVISOR, 0xf, [2_294_608, 1_000_000], None),
        (HYPERVISOR, 0x10, [0, 0], None),
        // Without a rate for the APIC; rates that cannot be.
        (HYPERVISOR, 0x10, [2_000_000, 0], Some((2_000_000_000, 0))),
        (HYPERVISOR, 0x10, [u32::MAX, u32::MAX], None),
    ] {
        let answers = [
            model(0x55, features),
            (0x4000_0000, 0, [0x4000_0000 | highest, kvm[0], kvm[1], kvm[2]]),
            (0x4000_0010, 0, [eax, ebx, 0, 0]),
        ];
        let found = rates(by_hypervisor(&Cpuid::by(&cpuid(0xd, INTEL, &answers))));
        assert_eq!(found, expected, "{highest:#x}: {eax}, {ebx}");
    }
}
