use std::vec;
use std::vec::Vec;

use super::{LintUse, NmiPins};
use crate::madt::tests::{table, x2apic_with_uid, xapic, xapic_with_uid};
use crate::{ApicId, CpuIndex, CpuMap, Madt};

const NMI: LintUse = LintUse::Nmi { active_low: false };
const LOW: LintUse = LintUse::Nmi { active_low: true };
/// LINT0 and LINT1 without a valid entry, on the BSP and elsewhere.
const BSP: [LintUse; 2] = [LintUse::Masked, NMI];
const AS_FOUND: [LintUse; 2] = [LintUse::Masked, LintUse::AsFound];
/// Where LINT0 or LINT1 is the NMI pin.
const LINT0: [LintUse; 2] = [NMI, LintUse::Masked];
const LINT1: [LintUse; 2] = [LintUse::Masked, NMI];
const LOW1: [LintUse; 2] = [LintUse::Masked, LOW];

fn nmi(uid: u8, flags: u16, lint: u8) -> Vec<u8> {
    let [low, high] = flags.to_le_bytes();
    vec![4, 6, uid, low, high, lint]
}

fn x2apic_nmi(uid: u32, flags: u16, lint: u8) -> Vec<u8> {
    let (flags, uid) = (flags.to_le_bytes(), uid.to_le_bytes());
    [&[0xa, 12], &flags[..], &uid, &[lint, 0, 0, 0]].concat()
}

/// The uses of the pins of all CPUs, the BSP with APIC ID 0 first, and how many are not covered.
fn pins(entries: &[Vec<u8>]) -> (Vec<[LintUse; 2]>, usize) {
    let bytes = table(entries);
    let madt = Madt::parse(&bytes).expect("a header");
    let map = CpuMap::from_madt(&madt, None, ApicId::new(0)).expect("valid");
    let pins = NmiPins::new(&madt, &map);
    let all = map.iter().map(|(cpu, _)| pins.of(cpu)).collect();
    (all, pins.not_covered())
}

/// Three CPUs, whose UIDs are their APIC IDs, and these entries.
fn three_cpus(entries: &[Vec<u8>]) -> (Vec<[LintUse; 2]>, usize) {
    let cpus = [0, 1, 2].map(|id| xapic_with_uid(id, id, 1));
    pins(&[&cpus[..], entries].concat())
}

#[test]
fn entries_for_all_cpus() {
    for entry in [nmi(0xff, 0, 1), x2apic_nmi(0xffff_ffff, 0, 1)] {
        // Before and after the CPUs; firmware does both.
        let cpus = [xapic(0, 1), x2apic_with_uid(300, 7, 1), xapic(5, 0)];
        let entry = &[entry][..];
        for entries in [[entry, &cpus], [&cpus, entry]] {
            assert_eq!(pins(&entries.concat()), (vec![LINT1; 3], 0));
        }
    }
}

#[test]
fn a_cpu_that_the_madt_does_not_list_is_one_of_all() {
    let bytes = table(&[xapic(0, 1), nmi(0xff, 0, 0), nmi(1, 0, 1)]);
    let madt = Madt::parse(&bytes).expect("a header");
    let ids = [0, 1].map(ApicId::new);
    let map = CpuMap::new(ids, [], ids[0]).expect("valid");
    let pins = NmiPins::new(&madt, &map);
    assert_eq!(pins.of(CpuIndex::new(1)), LINT0);
}

#[test]
fn pins_go_by_the_uid_not_the_apic_id() {
    let found = pins(&[
        xapic_with_uid(0, 3, 1),
        xapic_with_uid(4, 1, 1),
        xapic_with_uid(1, 2, 1),
        x2apic_with_uid(0x1_0002, 0x1234_5678, 1),
        // Of one UID, both are meant.
        xapic_with_uid(8, 3, 1),
        nmi(1, 0, 0),
        nmi(2, 0, 1),
        nmi(3, 0, 0),
        x2apic_nmi(0x1234_5678, 0, 1),
        // This CPU has no UID of only 8 bits.
        nmi(0x78, 0, 0),
        x2apic_nmi(0xff, 0, 0),
    ]);
    // By APIC ID: 0, 1, 4, 8, 0x1_0002.
    assert_eq!(found, (vec![LINT0, LINT1, LINT0, LINT0, LINT1], 0));
}

#[test]
fn the_uid_is_that_of_the_enabled_entry() {
    let found = pins(&[
        xapic_with_uid(0, 7, 0),
        x2apic_with_uid(0, 8, 2),
        x2apic_with_uid(0, 9, 1),
        x2apic_with_uid(0, 10, 1),
        x2apic_nmi(7, 0, 0),
        x2apic_nmi(8, 0, 0),
        x2apic_nmi(9, 3, 1),
        x2apic_nmi(10, 0, 0),
    ]);
    assert_eq!(found, (vec![LOW1], 0));
}

#[test]
fn the_first_entry_about_a_pin_counts_and_both_pins_may_be_the_nmis() {
    let second = [nmi(0, 0, 1), nmi(1, 0, 0), x2apic_nmi(1, 3, 0)];
    let (found, _) = three_cpus(&[&[nmi(0xff, 3, 1)][..], &second].concat());
    assert_eq!(found, [LOW1, [NMI, LOW], LOW1]);
}

/// As in real tables.
#[test]
fn where_nothing_valid_is_said_the_bsp_gets_nmis_at_lint1() {
    let uncovered = (vec![BSP, AS_FOUND, AS_FOUND], 3);
    assert_eq!(three_cpus(&[]), uncovered);
    // Pins that do not exist, and flags that are reserved.
    for lint in [2, 6, 115, 237, 0xff] {
        let entries = [nmi(0xff, 0, lint), x2apic_nmi(!0, 0, lint), nmi(0, 5, lint)];
        assert_eq!(three_cpus(&entries), uncovered, "LINT{lint}");
    }
    for flags in [2, 8, 0xa, 0x10, 0x100, 0x8000] {
        let entries = [nmi(0xff, flags, 1), x2apic_nmi(!0, flags, 1)];
        assert_eq!(three_cpus(&entries), uncovered, "flags {flags:#x}");
    }
    // UIDs 0 to N-1, and entries for 1 to N.
    let entries = [1, 2, 3].map(|uid| nmi(uid, 5, 1));
    assert_eq!(three_cpus(&entries), (vec![BSP, LINT1, LINT1], 1));
    // The BSP alone.
    let bsp_alone = (vec![LINT0, AS_FOUND, AS_FOUND], 2);
    assert_eq!(three_cpus(&[nmi(0, 0, 0)]), bsp_alone);
}

#[test]
fn polarity() {
    // Each of the two fields: 0 the bus's own, 1 the one, 3 the other.
    for (flags, expected) in [(0, NMI), (1, NMI), (3, LOW), (4, NMI), (12, NMI), (15, LOW)] {
        for entry in [nmi(0xff, flags, 0), x2apic_nmi(!0, flags, 0)] {
            let (found, _) = pins(&[xapic(0, 1), entry]);
            assert_eq!(found, [[expected, LintUse::Masked]], "{flags:#b}");
        }
    }
}
