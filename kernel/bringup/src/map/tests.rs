use std::vec::Vec;

use super::{CpuMap, MAX_CPUS};
use crate::madt::tests::{table, x2apic, xapic};
use crate::{ApicId, CpuIndex, Madt};

fn ids(ids: &[u32]) -> impl Iterator<Item = ApicId> {
    ids.iter().copied().map(ApicId::new)
}

fn map(enabled: &[u32], pluggable: &[u32], bsp: u32) -> Option<CpuMap> {
    CpuMap::new(ids(enabled), ids(pluggable), ApicId::new(bsp))
}

/// Both directions agree, for every ID and for IDs that are not there.
fn check(map: Option<CpuMap>, enabled: &[u32], pluggable: &[u32]) {
    let map = map.expect("valid");
    let expected = [enabled, pluggable].concat();
    assert_eq!((map.enabled(), map.len()), (enabled.len(), expected.len()));
    assert!(map.iter_enabled().eq(map.iter().take(enabled.len())));
    for (place, (index, id)) in map.iter().enumerate() {
        assert_eq!((index.get(), id.get()), (place, expected[place]));
        assert_eq!(map.apic_id(index), Some(id));
        assert_eq!(map.index_of(id), Some(index), "{id}");
    }
    let none = CpuIndex::new(expected.len() as u32);
    assert_eq!(map.apic_id(none), None);
    for id in 0..400 {
        let known = map.index_of(ApicId::new(id)).is_some();
        assert_eq!(known, expected.contains(&id), "APIC {id}");
    }
}

#[test]
fn indices_ascend_with_apic_ids_behind_the_bsp() {
    // As the firmware lists them, the BSP, and by index.
    let machines: [(&[u32], u32, &[u32]); 6] = [
        (&[0, 1, 2, 4, 5, 6, 8], 0, &[0, 1, 2, 4, 5, 6, 8]),
        (&[3], 3, &[3]),
        (&[6, 0, 2, 4], 6, &[6, 0, 2, 4]),
        (&[0, 6, 4, 2], 2, &[2, 0, 4, 6]),
        (&[4, 2, 0, 6], 0, &[0, 2, 4, 6]),
        (&[0, 0xff, 1 << 31, !1], 1 << 31, &[1 << 31, 0, 0xff, !1]),
    ];
    for (listed, bsp, expected) in machines {
        check(map(listed, &[], bsp), expected, &[]);
    }
}

#[test]
fn a_cpu_listed_twice_counts_once() {
    check(map(&[0, 1, 1, 0, 5, 1, 5], &[], 1), &[1, 0, 5], &[]);
}

#[test]
fn cpus_to_be_plugged_in_come_last() {
    check(map(&[9, 2, 4], &[7, 0, 3, 0], 4), &[4, 2, 9], &[0, 3, 7]);
    // Some of them are enabled, too.
    check(map(&[0, 1, 2], &[3, 2, 1, 0], 1), &[1, 0, 2], &[3]);
}

#[test]
fn from_acpi_6_3_on_a_disabled_cpu_stays_away() {
    let cpus = [xapic(6, 0), xapic(1, 0), xapic(0, 1), xapic(2, 1)];
    let bytes = table(&[&cpus[..], &[x2apic(3, 2)]].concat());
    let madt = Madt::parse(&bytes).expect("well-formed");
    let check = |fadt: Option<&[u8]>, pluggable| {
        check(
            CpuMap::from_madt(&madt, fadt, ApicId::new(0)),
            &[0, 2],
            pluggable,
        );
    };
    let (may_come, stays_away) = (&[1, 3, 6][..], &[3][..]);
    // The upper half of the minor version is that of an erratum: 6.2 A.
    for (major, minor, pluggable) in [
        (1, 0, may_come),
        (5, 9, may_come),
        (6, 2, may_come),
        (6, 0x12, may_come),
        (6, 3, stays_away),
        (6, 0x15, stays_away),
        (7, 0, stays_away),
    ] {
        let mut fadt = [0; 276];
        (fadt[8], fadt[131]) = (major, minor);
        check(Some(&fadt), pluggable);
    }
    // A table that ends before the minor version, whatever length it states; and none.
    let mut fadt = [0; 131];
    fadt[8] = 6;
    check(Some(&fadt), may_come);
    check(None, may_come);
}

#[test]
fn ids_beyond_8_bits_come_from_x2apic_entries() {
    let mut cpus: Vec<_> = (0..255).map(|id| xapic(id, 1)).collect();
    // Listed both ways, as ACPI allows for IDs below 255.
    cpus.extend((250..288).map(|id| x2apic(id, 1)));
    let bytes = table(&cpus);
    let madt = Madt::parse(&bytes).expect("well-formed");
    let map = CpuMap::from_madt(&madt, None, ApicId::new(0));
    check(map, &(0..288).collect::<Vec<_>>(), &[]);
}

#[test]
fn a_list_without_the_bsp_is_refused() {
    for (enabled, pluggable) in [
        (&[][..], &[][..]),
        (&[0, 1], &[]),
        (&[], &[9]),
        (&[1], &[9]),
    ] {
        assert!(map(enabled, pluggable, 9).is_none());
    }
}

#[test]
fn full_is_fine_and_what_is_more_is_counted() {
    let all: Vec<_> = (0..MAX_CPUS as u32 + 3).collect();
    let twice = [&all[..MAX_CPUS], &all[..MAX_CPUS]].concat();
    for (listed, left_out) in [(&twice, 0), (&all, 3)] {
        let full = map(listed, &[], 0);
        assert_eq!(full.as_ref().map(CpuMap::left_out), Some(left_out));
        check(full, &all[..MAX_CPUS], &[]);
    }
}

#[test]
fn it_takes_as_much_memory_as_its_documentation_says() {
    assert_eq!(size_of::<CpuMap>(), 4120);
}
