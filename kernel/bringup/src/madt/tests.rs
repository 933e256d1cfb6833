use std::vec;
use std::vec::Vec;

use super::Madt;

/// A MADT with these entries.
pub(crate) fn table(entries: &[Vec<u8>]) -> Vec<u8> {
    let length = 44 + entries.iter().map(Vec::len).sum::<usize>() as u32;
    let mut bytes = vec![0; 44];
    bytes[..4].copy_from_slice(b"APIC");
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes.extend(entries.concat());
    bytes
}

/// UIDs are no APIC IDs: make a mix-up visible.
pub(crate) fn xapic(id: u8, flags: u32) -> Vec<u8> {
    xapic_with_uid(id, 0xee, flags)
}

pub(crate) fn x2apic(id: u32, flags: u32) -> Vec<u8> {
    x2apic_with_uid(id, 0xeeee_eeee, flags)
}

pub(crate) fn xapic_with_uid(id: u8, uid: u8, flags: u32) -> Vec<u8> {
    let mut bytes = vec![0, 8, uid, id];
    bytes.extend(flags.to_le_bytes());
    bytes
}

pub(crate) fn x2apic_with_uid(id: u32, uid: u32, flags: u32) -> Vec<u8> {
    let numbers = [id, flags, uid].map(u32::to_le_bytes).concat();
    [&[9, 16, 0, 0], &numbers[..]].concat()
}

/// The APIC IDs of the CPUs.
fn cpus(bytes: &[u8]) -> Vec<u32> {
    let madt = Madt::parse(bytes).expect("well-formed");
    madt.cpus().map(|cpu| cpu.apic_id.get()).collect()
}

/// Place, type and length of the entries that are not used.
fn bad(bytes: &[u8]) -> Vec<(usize, u8, u8)> {
    let madt = Madt::parse(bytes).expect("a header");
    let bad = madt.bad_entries();
    bad.map(|it| (it.offset, it.kind, it.length)).collect()
}

#[test]
fn entries_that_are_too_short_are_stepped_over() {
    let short: [&[u8]; 7] = [
        &[0, 2],
        &[0, 7, 0, 0, 1, 0, 0],
        &[9, 8, 0, 0, 1, 0, 0, 0],
        &[9, 15, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
        &[1, 11, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0],
        &[4, 5, 0xff, 0, 0],
        &[0xa, 8, 0, 0, 1, 0, 0, 0],
    ];
    for entry in short {
        let bytes = table(&[xapic(0, 1), entry.to_vec(), xapic(2, 1)]);
        assert_eq!(cpus(&bytes), [0, 2], "{entry:?}");
        assert_eq!(bad(&bytes), [(52, entry[0], entry[1])]);
    }
}

#[test]
fn an_entry_that_leads_to_no_next_one_is_the_last() {
    // Lengths that are none, that pass the end, and a single byte that is left.
    let last: [(&[u8], u8); 6] = [
        (&[0x80, 0, 0, 8, 0, 1, 1, 0, 0, 0], 0),
        (&[0x80, 1, 0, 8, 0, 1, 1, 0, 0, 0], 1),
        (&[0, 0, 0, 8, 0, 1, 1, 0, 0, 0], 0),
        (&[0x80, 3], 3),
        (&[0, 8, 0, 1, 1, 0, 0], 8),
        (&[0x80], 0),
    ];
    for (entry, length) in last {
        let bytes = table(&[xapic(0, 1), entry.to_vec()]);
        assert_eq!(cpus(&bytes), [0], "{entry:?}");
        assert_eq!(bad(&bytes), [(52, entry[0], length)]);
    }
}

#[test]
fn a_header_that_is_cut_or_anothers_is_refused() {
    let bytes = table(&[xapic(0, 1), x2apic(1, 1)]);
    for length in 0..bytes.len() {
        assert!(Madt::parse(&bytes[..length]).is_none(), "{length} bytes");
    }
    let mut bytes = table(&[]);
    assert!(Madt::parse(&bytes).is_some());
    for stated in [0, 8, 36, 43] {
        bytes[4] = stated;
        assert!(Madt::parse(&bytes).is_none(), "length {stated}");
    }
    let mut bytes = table(&[]);
    bytes[..4].copy_from_slice(b"FACP");
    assert!(Madt::parse(&bytes).is_none());
}
