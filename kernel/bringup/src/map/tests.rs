use super::CpuMap;
use crate::madt::tests::{table, x2apic, xapic};
use crate::{ApicId, Madt};

#[test]
fn from_acpi_6_3_on_a_disabled_cpu_stays_away() {
    let cpus = [xapic(6, 0), xapic(1, 0), xapic(0, 1), xapic(2, 1)];
    let bytes = table(&[&cpus[..], &[x2apic(3, 2)]].concat());
    let madt = Madt::parse(&bytes).expect("well-formed");
    let check = |fadt: Option<&[u8]>, pluggable: &[u32]| {
        let map = CpuMap::from_madt(&madt, fadt, ApicId::new(0)).expect("listed");
        assert_eq!(map.enabled(), 2);
        let ids = map.iter().map(|(_, id)| id.get());
        assert!(ids.eq([&[0, 2], pluggable].concat()), "{pluggable:?}");
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
