extern crate std;

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::{RootError, RootFlaw, Tables};

const RSDP: u64 = 0x100;
const RSDT: u64 = 0x200;
const XSDT: u64 = 0x300;
const MADT: u64 = 0x400;
const HPET: u64 = 0x500;
/// A table that is not looked for, whose vendor has a name that is not UTF-8.
const OTHER: u64 = 0x600;
const END: u64 = 0x700;

/// A machine's memory: the tables are where the constants say.
#[derive(Clone)]
struct Memory(Vec<u8>);

impl Memory {
    /// With these entries in the RSDT and in the XSDT.
    fn new(revision: u8, rsdt: &[u32], xsdt: &[u64]) -> Self {
        let mut memory = Self(vec![0; END as usize]);
        memory.put(RSDP, b"RSD PTR ");
        memory.put(RSDP + 15, &[revision]);
        memory.put(RSDP + 16, &(RSDT as u32).to_le_bytes());
        memory.put(RSDP + 20, &36_u32.to_le_bytes());
        memory.put(RSDP + 24, &XSDT.to_le_bytes());
        let bytes: Vec<_> = rsdt.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        memory.table(RSDT, b"RSDT", &bytes);
        let bytes: Vec<_> = xsdt.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        memory.table(XSDT, b"XSDT", &bytes);
        memory.table(MADT, b"APIC", &[1, 2, 3]);
        memory.table(HPET, b"HPET", &[4, 5, 6]);
        memory.table(OTHER, b"SSDT", &[]);
        memory.put(OTHER + 10, &[0xff; 6]);
        memory.seal();
        memory
    }

    /// As a PC with one root table of this revision has it.
    fn intact(revision: u8) -> Self {
        let rsdt = [OTHER, MADT, HPET].map(|address| address as u32);
        Self::new(revision, &rsdt, &[OTHER, MADT, HPET])
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn table(&mut self, at: u64, signature: &[u8; 4], content: &[u8]) {
        self.put(at, signature);
        self.put(at + 4, &(36 + content.len() as u32).to_le_bytes());
        self.put(at + 36, content);
    }

    /// Sets all checksums right, of as many bytes as the tables state.
    fn seal(&mut self) {
        let lengths = [RSDT, XSDT, MADT, HPET, OTHER].map(|at| (at, self.length(at), 9));
        for (at, length, place) in [(RSDP, 20, 8), (RSDP, 36, 32)].into_iter().chain(lengths) {
            let bytes = &mut self.0[at as usize..][..length];
            bytes[place] = 0;
            let sum = bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
            bytes[place] = sum.wrapping_neg();
        }
    }

    fn length(&self, at: u64) -> usize {
        self.0[at as usize + 4].into()
    }

    fn read(&self, address: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(address).ok()?;
        self.0.get(start..start.checked_add(length)?)
    }

    /// MADT and HPET are found, with these flaws on the way.
    fn leads_to_both(&self, flaws: &[RootFlaw]) {
        let tables = Tables::new(RSDP, |at, length| self.read(at, length)).expect("usable");
        assert_eq!(tables.flaws().collect::<Vec<_>>(), flaws);
        for (signature, at) in [(b"APIC", MADT), (b"HPET", HPET)] {
            assert_eq!(tables.find(signature), self.read(at, 39), "{at:#x}");
        }
        assert_eq!(tables.find(b"FACP"), None);
    }

    fn error(&self, rsdp: u64) -> Option<RootError> {
        Tables::new(rsdp, |at, length| self.read(at, length)).err()
    }
}

#[test]
fn intact_tables_are_found_and_nothing_is_said() {
    for revision in [0, 1, 2, 6] {
        Memory::intact(revision).leads_to_both(&[]);
    }
}

#[test]
fn entries_that_lead_nowhere_are_stepped_over() {
    // NULL, behind the end of memory, in its last bytes, beyond all addresses, amid a table.
    let nowhere = [0, END, END - 35, 0xffff_ff00, OTHER + 1];
    let flaws = nowhere.map(RootFlaw::NoTable);
    let good = [OTHER, MADT, HPET];
    for entries in [[&nowhere[..], &good].concat(), [&good[..], &nowhere].concat()] {
        Memory::new(2, &[], &entries).leads_to_both(&flaws);
        let entries: Vec<_> = entries.iter().map(|entry| *entry as u32).collect();
        Memory::new(0, &entries, &[]).leads_to_both(&flaws);
    }
    let address = u64::MAX;
    let far = Memory::new(2, &[], &[MADT, address, HPET]);
    far.leads_to_both(&[RootFlaw::NoTable(address)]);
}

#[test]
fn without_a_usable_xsdt_the_rsdt_is_used() {
    let no_xsdt = [RootFlaw::NoXsdt];
    // No address, one of another table, one beyond the end.
    for address in [0, MADT, END, u64::MAX] {
        let mut memory = Memory::intact(2);
        memory.put(RSDP + 24, &address.to_le_bytes());
        memory.seal();
        memory.leads_to_both(&no_xsdt);
    }
    for length in [0_u32, 35, 36, (END - XSDT) as u32 + 1, u32::MAX] {
        let mut memory = Memory::intact(2);
        memory.put(XSDT + 4, &length.to_le_bytes());
        memory.leads_to_both(&no_xsdt);
    }
    // One that leads nowhere, one that leads to other tables only.
    let rsdt = [MADT as u32, HPET as u32];
    Memory::new(2, &rsdt, &[0, END]).leads_to_both(&no_xsdt);
    Memory::new(2, &rsdt, &[HPET, END]).leads_to_both(&no_xsdt);
}

#[test]
fn without_a_madt_the_first_root_table_that_leads_anywhere_is_used() {
    let memory = Memory::new(2, &[OTHER as u32], &[HPET]);
    let tables = Tables::new(RSDP, |at, length| memory.read(at, length)).expect("usable");
    assert!(tables.find(b"HPET").is_some() && tables.find(b"SSDT").is_none());
    assert_eq!(tables.flaws().count(), 0);
}

#[test]
fn a_root_table_of_an_odd_length_is_read_as_far_as_it_goes() {
    for more in 1..8 {
        let mut memory = Memory::intact(2);
        memory.put(XSDT + 4, &[36 + 3 * 8 + more]);
        memory.seal();
        memory.leads_to_both(&[RootFlaw::Length]);
    }
}

#[test]
fn a_list_that_is_none_is_not_followed_for_ever() {
    let mut memory = Memory::intact(0);
    // As a RSDT of 2 MiB, all zero but for its start, would read.
    memory.0.resize(3 << 20, 0);
    memory.0.copy_within(RSDT as usize..RSDT as usize + 48, 1 << 20);
    memory.put((1 << 20) + 4, &(2_u32 << 20).to_le_bytes());
    memory.put(RSDP + 16, &(1_u32 << 20).to_le_bytes());
    let tables = Tables::new(RSDP, |at, length| memory.read(at, length)).expect("usable");
    assert_eq!(tables.find(b"APIC"), memory.read(MADT, 39));
    assert!(tables.flaws().any(|flaw| flaw == RootFlaw::Length));
    assert_eq!(tables.flaws().count(), 1024 - 3 + 3);
}

#[test]
fn a_wrong_checksum_is_named_and_the_table_used() {
    let flaw = |address, signature| RootFlaw::Checksum(signature, address);
    for (at, revision, flaw) in [
        (RSDP + 9, 0, flaw(RSDP, *b"RSDP")),
        (RSDP + 9, 2, flaw(RSDP, *b"RSDP")),
        (RSDP + 33, 2, flaw(RSDP, *b"RSDP")),
        (RSDT + 9, 0, flaw(RSDT, *b"RSDT")),
        (XSDT + 9, 2, flaw(XSDT, *b"XSDT")),
        (MADT + 38, 2, flaw(MADT, *b"APIC")),
    ] {
        let mut memory = Memory::intact(revision);
        memory.0[at as usize] ^= 1;
        memory.leads_to_both(&[flaw]);
    }
}

#[test]
fn of_two_tables_of_one_name_the_first_counts() {
    let mut memory = Memory::new(2, &[], &[MADT, OTHER, HPET]);
    memory.put(OTHER, b"APIC");
    memory.seal();
    memory.leads_to_both(&[]);
}

#[test]
fn without_an_rsdp_or_a_root_table_there_is_an_error_that_says_where() {
    let memory = Memory::intact(2);
    for address in [0, RSDP + 1, MADT, END - 19, END, u64::MAX] {
        assert_eq!(memory.error(address), Some(RootError::Rsdp(address)));
    }
    // The second half of an RSDP at the end of memory is missing; its first half will do.
    let mut cut = memory.clone();
    cut.0.copy_within(RSDP as usize..RSDP as usize + 20, END as usize - 20);
    assert_eq!(cut.error(END - 20), None);

    let mut memory = Memory::new(2, &[0], &[]);
    assert_eq!(memory.error(RSDP), Some(RootError::Root(XSDT, RSDT)));
    memory.put(RSDP + 15, &[0]);
    let error = RootError::Root(0, RSDT);
    assert_eq!(memory.error(RSDP), Some(error));
    assert!(error.to_string().contains("an RSDT at 0x200"));
}
