//! The Multiple APIC Description Table: what the firmware says about CPUs and their APICs.
//!
//! Layout: ACPI Specification 6.5, section 5.2.12. The entries that concern CPUs, their pins and
//! I/O APICs are read; the others are stepped over.
//!
//! Every read is bounds-checked, so a damaged table is used as far as it makes sense: an entry that
//! is too short for its type is skipped, and one whose length is below 2 or passes the end is the
//! last. [`Madt::bad_entries`] lists them. The checksum is ignored here;
//! [`Tables::flaws`](crate::Tables::flaws) reports it.

mod entry;
#[cfg(test)]
pub(crate) mod tests;

use core::fmt;

pub use entry::{BadEntry, CpuState, IoApic, Lint, MadtCpu};
use entry::{ENTRIES_AT, Entry, Walk};
pub(crate) use entry::{Nmi, Whose};

use crate::bytes::read_u32;

/// A MADT that has a header.
///
/// Each of its iterators walks the entries anew: a step costs a few loads, a table of 255 CPUs has
/// some 260 entries.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    entries: &'a [u8],
}

impl<'a> Madt<'a> {
    /// Checks the table in `bytes`, which begin with its header. What follows the length that
    /// the header states is ignored.
    ///
    /// # Errors
    /// The first thing wrong with the table, see [`MadtError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MadtError> {
        if bytes.first_chunk() != Some(SIGNATURE) {
            return Err(MadtError::NotAMadt);
        }
        let stated = read_u32(bytes, 4).ok_or(MadtError::Truncated)? as usize;
        let table = bytes.get(..stated).ok_or(MadtError::Truncated)?;
        let entries = table.get(ENTRIES_AT..).ok_or(MadtError::Truncated)?;
        Ok(Self { entries })
    }

    /// The CPUs (entry types 0 and 9), as listed: in the firmware's order, disabled ones and
    /// duplicates included.
    pub fn cpus(&self) -> impl Iterator<Item = MadtCpu> + use<'a> {
        self.entries().filter_map(|entry| match entry {
            Entry::Cpu(cpu) => Some(cpu),
            _ => None,
        })
    }

    /// The pins of local APICs that NMI sources are wired to (entry types 4 and 0xA), as listed,
    /// without implausible entries.
    pub(crate) fn nmis(&self) -> impl Iterator<Item = Nmi> + use<'a> {
        self.entries().filter_map(|entry| match entry {
            Entry::Nmi(nmi) => Some(nmi),
            _ => None,
        })
    }

    /// The I/O APICs (entry type 1), as listed.
    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + use<'a> {
        self.entries().filter_map(|entry| match entry {
            Entry::IoApic(io_apic) => Some(io_apic),
            _ => None,
        })
    }

    /// The malformed entries, which are not used. For the log.
    pub fn bad_entries(&self) -> impl Iterator<Item = BadEntry> + use<'a> {
        Walk::over(self.entries).filter_map(Result::err)
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        Walk::over(self.entries).flatten()
    }
}

/// Why bytes are no MADT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadtError {
    /// They do not begin with the signature `APIC`.
    NotAMadt,
    /// The header, or the length it states, passes their end.
    Truncated,
}

impl fmt::Display for MadtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAMadt => "the table is not a MADT (no signature \"APIC\")",
            Self::Truncated => "the MADT is shorter than its header says",
        })
    }
}

impl core::error::Error for MadtError {}

const SIGNATURE: &[u8; 4] = b"APIC";
