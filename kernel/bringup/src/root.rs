//! The way from the RSDP to the tables.
//!
//! Layout: ACPI 6.5, sections 5.2.5 (RSDP), 5.2.6 (header), 5.2.7 and 5.2.8 (RSDT, XSDT).
//!
//! Real firmware often damages this path, and the tables themselves are usable all the same. So a
//! bad entry is skipped, a wrong checksum is accepted, and [`Tables::flaws`] lists both for the
//! log. Linux does the same. (Of the `acpi` crate, 5.2.0 and 6.1.1, one bad entry costs all tables,
//! and a root table shorter than its own header is read to the end of the address space.)

#[cfg(test)]
mod tests;

use core::fmt;

use crate::bytes::{read_u32, read_u64};

/// Bytes of the RSDP that every version of ACPI has, and that it has since ACPI 2.0.
const RSDP_1: usize = 20;
const RSDP_2: usize = 36;
/// Bytes of the header of every table.
const HEADER: usize = 36;
/// The longest plausible table. (QEMU's largest is some 10 KiB, a server's some 100.)
const MOST_BYTES: usize = 16 << 20;
/// The most entries to read: real root tables have some 40. Following garbage could take minutes.
const MOST_ENTRIES: usize = 1024;

/// The tables that the firmware lists.
///
/// `R` reads physical memory: bytes at an address, or `None` if not all of them are there.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a, R> {
    read: R,
    rsdp_at: u64,
    rsdp: &'a [u8],
    root: Root<'a>,
}

/// The root table: its address, its bytes, and how many an entry has.
#[derive(Clone, Copy, Debug)]
struct Root<'a>(u64, &'a [u8], usize);

impl<'a, R: Fn(u64, usize) -> Option<&'a [u8]>> Tables<'a, R> {
    /// Finds the root table by the RSDP at `rsdp`: of XSDT and RSDT the first that leads to a MADT;
    /// if none does, the first that leads to any table.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn new(rsdp: u64, read: R) -> Result<Self, RootError> {
        let old = read(rsdp, RSDP_1).filter(|bytes| bytes.starts_with(b"RSD PTR "));
        let old = old.ok_or(RootError::Rsdp(rsdp))?;
        // Revision 0 is ACPI 1.0, which has no XSDT; 1 was never given out.
        let new = read(rsdp, RSDP_2).filter(|_| old[15] >= 2);
        let xsdt = new.and_then(|bytes| read_u64(bytes, 24)).unwrap_or(0);
        let rsdt = read_u32(old, 16).unwrap_or(0).into();
        let mut tables =
            Self { read, rsdp_at: rsdp, rsdp: new.unwrap_or(old), root: Root(0, &[], 8) };
        let mut second_best = None;
        for (address, signature, entry_size) in [(xsdt, b"XSDT", 8), (rsdt, b"RSDT", 4)] {
            let bytes = tables.table(address).unwrap_or_default();
            if !bytes.starts_with(signature) {
                continue;
            }
            tables.root = Root(address, bytes, entry_size);
            if tables.find(b"APIC").is_some() {
                return Ok(tables);
            }
            let leads_anywhere = tables.listed().any(|(_, table)| table.is_some());
            second_best = second_best.or(leads_anywhere.then_some(tables.root));
        }
        tables.root = second_best.ok_or(RootError::Root(xsdt, rsdt))?;
        Ok(tables)
    }

    /// The first table with this signature (as in Linux), as long as its header states.
    #[must_use]
    pub fn find(&self, signature: &[u8; 4]) -> Option<&'a [u8]> {
        let mut tables = self.listed().filter_map(|(_, table)| table);
        tables.find(|table| table.starts_with(signature))
    }

    /// Everything that is wrong but was skipped or accepted. For the log.
    pub fn flaws(&self) -> impl Iterator<Item = RootFlaw> {
        let Root(address, bytes, entry_size) = self.root;
        let entries = bytes.len().saturating_sub(HEADER);
        let is_cut = !entries.is_multiple_of(entry_size) || entries / entry_size > MOST_ENTRIES;
        let is_rsdp_right = is_sum_right(&self.rsdp[..RSDP_1]) && is_sum_right(self.rsdp);
        let of_root = [
            (!is_rsdp_right).then_some(RootFlaw::Checksum(*b"RSDP", self.rsdp_at)),
            (self.rsdp[15] >= 2 && entry_size == 4).then_some(RootFlaw::NoXsdt),
            is_cut.then_some(RootFlaw::Length),
        ];
        let all = [(address, Some(bytes))].into_iter().chain(self.listed());
        let of_tables = all.filter_map(|(address, table)| match table {
            None => Some(RootFlaw::NoTable(address)),
            Some(table) if !is_sum_right(table) => {
                let signature = table.first_chunk().copied().unwrap_or_default();
                Some(RootFlaw::Checksum(signature, address))
            }
            Some(_) => None,
        });
        of_root.into_iter().flatten().chain(of_tables)
    }

    /// The addresses in the root table, each with the table found there.
    fn listed(&self) -> impl Iterator<Item = (u64, Option<&'a [u8]>)> {
        let Root(_, bytes, entry_size) = self.root;
        let entries = bytes.get(HEADER..).unwrap_or(&[]);
        let entries = entries.chunks_exact(entry_size);
        entries.take(MOST_ENTRIES).map(|entry| {
            let short = || read_u32(entry, 0).map_or(0, u64::from);
            let address = read_u64(entry, 0).unwrap_or_else(short);
            (address, self.table(address))
        })
    }

    fn table(&self, address: u64) -> Option<&'a [u8]> {
        let header = (address != 0).then(|| (self.read)(address, HEADER))??;
        let length = read_u32(header, 4)? as usize;
        let is_likely = (HEADER..=MOST_BYTES).contains(&length);
        is_likely.then(|| (self.read)(address, length)).flatten()
    }
}

/// All bytes of a table add up to 0 (section 5.2.6), and so do those of the RSDP.
fn is_sum_right(bytes: &[u8]) -> bool {
    let add = |sum: u8, byte: &u8| sum.wrapping_add(*byte);
    bytes.iter().fold(0, add) == 0
}

/// Why there are no tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootError {
    /// There is no RSDP at this address.
    Rsdp(u64),
    /// Neither root table is whole and lists a table that is there: XSDT and RSDT should be at
    /// these addresses; 0 if the RSDP names none.
    Root(u64, u64),
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsdp(address) => write!(f, "there is no RSDP at {address:#x}"),
            Self::Root(xsdt, rsdt) => {
                write!(f, "no table is listed by an XSDT at {xsdt:#x} or an RSDT at {rsdt:#x}")
            }
        }
    }
}

impl core::error::Error for RootError {}

/// A defect on the way to the tables that does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootFlaw {
    /// The RSDP's revision promises an XSDT, but there is no usable one: the RSDT is used.
    NoXsdt,
    /// The root table's length is no whole number of entries, or too many: the rest is ignored.
    Length,
    /// The root table lists this address, at which there is no whole table: the entry is skipped.
    NoTable(u64),
    /// The bytes of the table with this signature, at this address, do not sum to 0: used anyway.
    Checksum([u8; 4], u64),
}

impl fmt::Display for RootFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoXsdt => f.write_str("there is no usable XSDT: the RSDT is used"),
            Self::Length => f.write_str("the root table's length is odd: its end is ignored"),
            Self::NoTable(address) => write!(f, "there is no table at {address:#x}: skipped"),
            Self::Checksum(signature, address) => write!(
                f,
                "the checksum of {} at {address:#x} is wrong: used anyway",
                signature.escape_ascii()
            ),
        }
    }
}
