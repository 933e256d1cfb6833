extern crate std;

use std::vec::Vec;

use super::{CpuMap, Disabled, MAX_CPUS, MapError};
use crate::madt::tests::{table, x2apic, xapic};
use crate::{ApicId, CpuIndex, Madt};

fn ids(ids: &[u32]) -> impl Iterator<Item = ApicId> {
    ids.iter().copied().map(ApicId::new)
}

fn map(enabled: &[u32], bsp: u32) -> Result<CpuMap, MapError> {
    CpuMap::new(ids(enabled), [], ApicId::new(bsp))
}

/// Both directions agree, for every ID and for IDs that are not there.
fn check(map: &CpuMap, enabled: &[u32], pluggable: &[u32]) {
    let expected = [enabled, pluggable].concat();
    assert_eq!(map.raw_ids(), expected);
    assert_eq!(map.len(), expected.len());
    assert_eq!(map.enabled(), enabled.len());
    for (place, (index, id)) in map.iter().enumerate() {
        assert_eq!(index.get(), place);
        assert_eq!(map.apic_id(index), Some(id));
        assert_eq!(map.index_of(id), Some(index), "{id}");
        assert_eq!(map.is_enabled(index), place < enabled.len(), "{index}");
    }
    let parts = map.iter_enabled().chain(map.iter_pluggable());
    assert!(parts.eq(map.iter()));
    assert_eq!(map.iter_enabled().len(), enabled.len());
    let none = CpuIndex::new(expected.len() as u32);
    assert_eq!(map.apic_id(none), None);
    assert!(!map.is_enabled(none));
    for id in 0..400 {
        let known = map.index_of(ApicId::new(id)).is_some();
        assert_eq!(known, expected.contains(&id), "APIC {id}");
    }
}

#[test]
fn sparse_ids_get_dense_indices() {
    let ids = [0, 1, 2, 4, 5, 6, 8, 9, 10];
    check(&map(&ids, 0).expect("valid"), &ids, &[]);
}

#[test]
fn one_cpu_is_a_machine() {
    check(&map(&[3], 3).expect("valid"), &[3], &[]);
}

#[test]
fn the_bsp_is_index_0_wherever_it_is_listed() {
    for ids in [[6, 0, 2, 4], [0, 6, 4, 2], [4, 2, 0, 6]] {
        check(&map(&ids, 6).expect("valid"), &[6, 0, 2, 4], &[]);
        check(&map(&ids, 2).expect("valid"), &[2, 0, 4, 6], &[]);
        check(&map(&ids, 0).expect("valid"), &[0, 2, 4, 6], &[]);
    }
}

#[test]
fn a_cpu_listed_twice_counts_once() {
    let map = map(&[0, 1, 1, 0, 5, 1, 5], 1).expect("valid");
    check(&map, &[1, 0, 5], &[]);
}

#[test]
fn cpus_to_be_plugged_in_come_last() {
    let map = CpuMap::new(ids(&[9, 2, 4]), ids(&[7, 0, 3, 0]), ApicId::new(4));
    check(&map.expect("valid"), &[4, 2, 9], &[0, 3, 7]);
}

#[test]
fn a_cpu_listed_both_ways_is_enabled() {
    let map = CpuMap::new(ids(&[0, 1, 2]), ids(&[3, 2, 1, 0]), ApicId::new(1));
    check(&map.expect("valid"), &[1, 0, 2], &[3]);
}

#[test]
fn cpus_that_are_not_enabled_have_their_indices_reserved() {
    let cpus = [
        xapic(6, 0),
        xapic(1, 0),
        xapic(0, 1),
        xapic(2, 1),
        x2apic(3, 2),
    ];
    let bytes = table(&cpus);
    let madt = Madt::parse(&bytes).expect("well-formed");
    let map = |disabled| CpuMap::from_madt(&madt, disabled, ApicId::new(0)).expect("valid");
    check(&map(Disabled::MayCome), &[0, 2], &[1, 3, 6]);
    check(&map(Disabled::StaysAway), &[0, 2], &[3]);
}

#[test]
fn from_acpi_6_3_on_a_disabled_cpu_stays_away() {
    use Disabled::{MayCome, StaysAway};
    // The upper half of the minor version is that of an erratum: 6.2 A.
    for (major, minor, disabled) in [
        (1, 0, MayCome),
        (5, 9, MayCome),
        (6, 2, MayCome),
        (6, 0x12, MayCome),
        (6, 3, StaysAway),
        (6, 0x15, StaysAway),
        (7, 0, StaysAway),
    ] {
        let mut fadt = [0; 276];
        (fadt[8], fadt[131]) = (major, minor);
        assert_eq!(Disabled::by_fadt(Some(&fadt)), disabled, "{major}.{minor}");
    }
    // A table that ends before the minor version, whatever length it states; and none.
    let mut fadt = [0; 131];
    fadt[8] = 6;
    assert_eq!(Disabled::by_fadt(Some(&fadt)), MayCome);
    assert_eq!(Disabled::by_fadt(None), MayCome);
}

#[test]
fn ids_beyond_8_bits_come_from_x2apic_entries() {
    let mut cpus: Vec<_> = (0..255).map(|id| xapic(id, 1)).collect();
    // Listed both ways, as ACPI allows for IDs below 255.
    cpus.extend((250..288).map(|id| x2apic(id, 1)));
    let bytes = table(&cpus);
    let madt = Madt::parse(&bytes).expect("well-formed");
    let map = CpuMap::from_madt(&madt, Disabled::MayCome, ApicId::new(0)).expect("valid");
    check(&map, &(0..288).collect::<Vec<_>>(), &[]);
}

#[test]
fn ids_may_be_any_32_bits() {
    let ids = [0, 0xff, 0x8000_0000, 0xffff_fffe];
    let map = map(&ids, 0x8000_0000).expect("valid");
    check(&map, &[0x8000_0000, 0, 0xff, 0xffff_fffe], &[]);
}

#[test]
fn impossible_lists_are_refused() {
    let bsp = ApicId::new(9);
    assert_eq!(map(&[], 9).unwrap_err(), MapError::NoneListed);
    let error = map(&[0, 1], 9).unwrap_err();
    assert_eq!(error, MapError::BspNotListed { bsp });
    let error = CpuMap::new([], ids(&[9]), bsp).unwrap_err();
    assert_eq!(error, MapError::NoneListed);
}

#[test]
fn a_disabled_bsp_is_refused() {
    let bytes = table(&[xapic(0, 0), xapic(1, 1)]);
    let madt = Madt::parse(&bytes).expect("well-formed");
    let error = CpuMap::from_madt(&madt, Disabled::MayCome, ApicId::new(0)).unwrap_err();
    let bsp = ApicId::new(0);
    assert_eq!(error, MapError::BspNotListed { bsp });
}

#[test]
fn full_is_fine_and_what_is_more_is_counted() {
    let most = MAX_CPUS as u32;
    let all: Vec<_> = (0..most).rev().collect();
    let full = map(&all, 0).expect("valid");
    assert_eq!((full.len(), full.left_out()), (MAX_CPUS, 0));
    let twice: Vec<_> = all.iter().chain(&all).copied().collect();
    let full = map(&twice, 0).expect("valid");
    assert_eq!((full.len(), full.left_out()), (MAX_CPUS, 0));

    let more: Vec<_> = (0..most + 3).collect();
    let full = map(&more, 0).expect("valid");
    assert_eq!(full.left_out(), 3);
    check(&full, &more[..MAX_CPUS], &[]);
}

#[test]
fn there_is_always_room_for_the_bsp_and_enabled_cpus_come_first() {
    let most = MAX_CPUS as u32;
    let enabled: Vec<_> = (0..most - 1).chain([7777, 8888]).collect();
    let bsp = ApicId::new(8888);
    let map = CpuMap::new(ids(&enabled), ids(&[9000, 7777, 5]), bsp).expect("valid");
    // APIC 7777, both times, and 9000.
    assert_eq!(map.left_out(), 3);
    let expected: Vec<_> = [8888].into_iter().chain(0..most - 1).collect();
    check(&map, &expected, &[]);

    let map = CpuMap::new(
        ids(&enabled[..MAX_CPUS - 2]),
        ids(&[9, 5000, 4000, 0]),
        ApicId::new(0),
    );
    let map = map.expect("valid");
    assert_eq!((map.enabled(), map.left_out()), (MAX_CPUS - 2, 0));
    check(&map, &enabled[..MAX_CPUS - 2], &[4000, 5000]);
}

#[test]
fn it_takes_as_much_memory_as_its_documentation_says() {
    assert_eq!(size_of::<CpuMap>(), 4120);
}
