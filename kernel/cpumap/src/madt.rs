//! The Multiple APIC Description Table: what the firmware says about CPUs and their APICs.
//!
//! Layout: ACPI Specification 6.5, section 5.2.12. Only the three kinds of entry that concern CPUs
//! are read; the others are stepped over.
//!
//! Why not the `acpi` crate's own iterator (5.2.0 and 6.1.1 read): it trusts every entry's length.
//! A length of 0 keeps it at the same place for ever, one that is too short makes it read past the
//! table's end. The kernel takes the table from that crate, checksum and all, and its entries from
//! here, where every byte is checked first.

use core::fmt;

use crate::ApicId;

/// A MADT whose entries are all well-formed.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    local_apic_address: u64,
    entries: &'a [u8],
}

impl<'a> Madt<'a> {
    /// Checks the table in `bytes`, which begin with its header. What follows the length that
    /// the header states is ignored; the checksum is not looked at.
    ///
    /// # Errors
    /// The first thing wrong with the table, see [`MadtError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MadtError> {
        if bytes.first_chunk() != Some(SIGNATURE) {
            return Err(MadtError::NotAMadt);
        }
        let stated = read_u32(bytes, 4).ok_or(MadtError::Truncated)? as usize;
        let table = bytes.get(..stated).ok_or(MadtError::Truncated)?;
        let address = read_u32(table, 36).ok_or(MadtError::Truncated)?;
        let entries = table.get(ENTRIES_AT..).ok_or(MadtError::Truncated)?;

        let mut local_apic_address = u64::from(address);
        for entry in (Walk { entries, at: 0 }) {
            if let Entry::LocalApicAddress(address) = entry? {
                local_apic_address = address;
            }
        }
        Ok(Self {
            local_apic_address,
            entries,
        })
    }

    /// Physical address of the registers of every CPU's local APIC in xAPIC mode: the 64-bit
    /// override (entry type 5) where there is one, else the 32-bit field of the header.
    #[must_use]
    pub fn local_apic_address(&self) -> u64 {
        self.local_apic_address
    }

    /// The CPUs, as listed: in the firmware's order, disabled ones and duplicates included.
    pub fn cpus(&self) -> impl Iterator<Item = MadtCpu> + use<'a> {
        let walk = Walk {
            entries: self.entries,
            at: 0,
        };
        // `parse` has seen every entry: none is an error.
        walk.filter_map(|entry| match entry {
            Ok(Entry::Cpu(cpu)) => Some(cpu),
            _ => None,
        })
    }
}

/// One CPU as the MADT lists it (entry types 0 and 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadtCpu {
    /// The ID of its local APIC.
    pub apic_id: ApicId,
    /// Whether the firmware has it ready to be started. A CPU that could be plugged in later
    /// ("online capable") is listed, but not enabled.
    pub enabled: bool,
}

/// What is wrong with a MADT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadtError {
    /// The bytes do not begin with the signature `APIC`.
    NotAMadt,
    /// The header, or the length it states, passes the end of the bytes.
    Truncated,
    /// An entry is too short for its type, or passes the end of the table.
    BadEntry {
        /// Where it begins, in bytes from the start of the table.
        offset: usize,
        /// Its type, if the table has not ended before it.
        kind: u8,
        /// The length it states, in bytes; 0 if the table ends before it.
        length: u8,
    },
}

impl fmt::Display for MadtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMadt => f.write_str("the table is not a MADT (no signature \"APIC\")"),
            Self::Truncated => f.write_str("the MADT is shorter than its header says"),
            Self::BadEntry {
                offset,
                kind,
                length,
            } => write!(
                f,
                "the MADT's entry at byte {offset} (type {kind}) has an impossible length, {length}"
            ),
        }
    }
}

impl core::error::Error for MadtError {}

const SIGNATURE: &[u8; 4] = b"APIC";

/// The entries follow the 36-byte ACPI header, the local APIC's address and the flags.
const ENTRIES_AT: usize = 44;

/// Type 0, Processor Local APIC: type, length, UID, ID (8 bit each), flags (32 bit).
const LOCAL_APIC: u8 = 0;
/// Type 5, Local APIC Address Override: type, length, 2 reserved bytes, address (64 bit).
const LOCAL_APIC_ADDRESS: u8 = 5;
/// Type 9, Processor Local x2APIC: type, length, 2 reserved bytes, ID, flags, UID (32 bit each).
const LOCAL_X2APIC: u8 = 9;

/// Bit 0 of the flags of types 0 and 9.
const ENABLED: u32 = 1;

/// These address all CPUs, so they name none; firmware uses them for "no CPU here".
const XAPIC_BROADCAST: u8 = 0xff;
const X2APIC_BROADCAST: u32 = 0xffff_ffff;

enum Entry {
    Cpu(MadtCpu),
    LocalApicAddress(u64),
    Other,
}

impl Entry {
    /// Reads an entry of exactly its own length; `None` if that is too short for its type.
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(match *bytes.first()? {
            LOCAL_APIC => {
                let id = *bytes.get(3)?;
                let flags = read_u32(bytes, 4)?;
                if id == XAPIC_BROADCAST {
                    return Some(Self::Other);
                }
                Self::cpu(u32::from(id), flags)
            }
            LOCAL_X2APIC => {
                let id = read_u32(bytes, 4)?;
                let flags = read_u32(bytes, 8)?;
                if id == X2APIC_BROADCAST {
                    return Some(Self::Other);
                }
                Self::cpu(id, flags)
            }
            LOCAL_APIC_ADDRESS => {
                let address = bytes.get(4..)?.first_chunk()?;
                Self::LocalApicAddress(u64::from_le_bytes(*address))
            }
            _ => Self::Other,
        })
    }

    fn cpu(id: u32, flags: u32) -> Self {
        Self::Cpu(MadtCpu {
            apic_id: ApicId::new(id),
            enabled: flags & ENABLED != 0,
        })
    }
}

/// Steps from entry to entry. Every step is at least 2 bytes, and an error is the last item, so it
/// ends.
struct Walk<'a> {
    entries: &'a [u8],
    at: usize,
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, MadtError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .entries
            .get(self.at..)
            .filter(|rest| !rest.is_empty())?;
        let kind = rest[0];
        let length = rest.get(1).copied().unwrap_or(0);
        let bytes = rest.get(..usize::from(length));
        // Type and length themselves take 2 bytes.
        let entry = bytes.filter(|bytes| bytes.len() >= 2).and_then(Entry::read);
        let Some(entry) = entry else {
            let offset = ENTRIES_AT + self.at;
            self.at = self.entries.len();
            return Some(Err(MadtError::BadEntry {
                offset,
                kind,
                length,
            }));
        };
        self.at += usize::from(length);
        Some(Ok(entry))
    }
}

/// A little-endian number at byte `at`, if the bytes reach that far.
fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*four))
}

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::{Madt, MadtCpu, MadtError};
    use crate::ApicId;

    /// A MADT with these entries, as firmware would write it.
    pub(crate) fn table(entries: &[Vec<u8>]) -> Vec<u8> {
        let length = 44 + entries.iter().map(Vec::len).sum::<usize>() as u32;
        let mut bytes = vec![0; 44];
        bytes[..4].copy_from_slice(b"APIC");
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[36..40].copy_from_slice(&0xfee0_0000u32.to_le_bytes());
        bytes.extend(entries.concat());
        bytes
    }

    pub(crate) fn xapic(id: u8, flags: u32) -> Vec<u8> {
        // The UID (first byte after the length) is no APIC ID: make a mix-up visible.
        let mut bytes = vec![0, 8, 0xee, id];
        bytes.extend(flags.to_le_bytes());
        bytes
    }

    pub(crate) fn x2apic(id: u32, flags: u32) -> Vec<u8> {
        let mut bytes = vec![9, 16, 0, 0];
        bytes.extend(id.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(0xeeee_eeeeu32.to_le_bytes());
        bytes
    }

    fn io_apic() -> Vec<u8> {
        vec![1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]
    }

    fn cpus(bytes: &[u8]) -> Vec<MadtCpu> {
        Madt::parse(bytes).expect("well-formed").cpus().collect()
    }

    fn cpu(id: u32, enabled: bool) -> MadtCpu {
        MadtCpu {
            apic_id: ApicId::new(id),
            enabled,
        }
    }

    #[test]
    fn both_kinds_of_cpu_entry_are_read_and_others_stepped_over() {
        let bytes = table(&[xapic(4, 1), io_apic(), x2apic(300, 1), vec![0x80, 2]]);
        assert_eq!(cpus(&bytes), [cpu(4, true), cpu(300, true)]);
    }

    #[test]
    fn online_capable_is_not_enabled() {
        let bytes = table(&[xapic(1, 0), xapic(2, 2), x2apic(3, 2), x2apic(4, 3)]);
        let expected = [cpu(1, false), cpu(2, false), cpu(3, false), cpu(4, true)];
        assert_eq!(cpus(&bytes), expected);
    }

    #[test]
    fn broadcast_ids_are_no_cpus() {
        let bytes = table(&[xapic(0xff, 1), x2apic(0xffff_ffff, 1), x2apic(0xff, 1)]);
        assert_eq!(cpus(&bytes), [cpu(0xff, true)]);
    }

    #[test]
    fn the_address_override_wins() {
        let plain = table(&[xapic(0, 1)]);
        let madt = Madt::parse(&plain).expect("well-formed");
        assert_eq!(madt.local_apic_address(), 0xfee0_0000);

        let mut entry = vec![5, 12, 0, 0];
        entry.extend(0x12_3456_7000u64.to_le_bytes());
        let overridden = table(&[xapic(0, 1), entry]);
        let madt = Madt::parse(&overridden).expect("well-formed");
        assert_eq!(madt.local_apic_address(), 0x12_3456_7000);
    }

    #[test]
    fn an_empty_table_lists_no_cpu() {
        assert_eq!(cpus(&table(&[])), []);
    }

    #[test]
    fn bytes_after_the_stated_length_are_ignored() {
        let mut bytes = table(&[xapic(7, 1)]);
        bytes.extend([0, 0, 0, 0]);
        assert_eq!(cpus(&bytes), [cpu(7, true)]);
    }

    #[test]
    fn impossible_lengths_are_errors_not_loops() {
        let odd: [(&[u8], u8, u8); 8] = [
            (&[0x80, 0], 0x80, 0),
            (&[0x80, 1], 0x80, 1),
            (&[0x80, 3], 0x80, 3),
            (&[0x80], 0x80, 0),
            (&[0, 0], 0, 0),
            (&[0, 7, 0, 0, 1, 0, 0], 0, 7),
            (&[9, 8, 0, 0, 1, 0, 0, 0], 9, 8),
            (&[5, 8, 0, 0, 1, 0, 0, 0], 5, 8),
        ];
        for (entry, kind, length) in odd {
            let bytes = table(&[xapic(0, 1), entry.to_vec()]);
            let expected = MadtError::BadEntry {
                offset: 52,
                kind,
                length,
            };
            assert_eq!(Madt::parse(&bytes).unwrap_err(), expected, "{entry:?}");
        }
    }

    #[test]
    fn every_truncation_is_noticed() {
        let bytes = table(&[xapic(0, 1), x2apic(1, 1)]);
        for length in 0..bytes.len() {
            let error = Madt::parse(&bytes[..length]).unwrap_err();
            let expected = match length {
                0..4 => MadtError::NotAMadt,
                _ => MadtError::Truncated,
            };
            assert_eq!(error, expected, "{length} bytes");
        }
    }

    #[test]
    fn a_stated_length_within_the_header_is_noticed() {
        for stated in [0u8, 8, 36, 43] {
            let mut bytes = table(&[]);
            bytes[4] = stated;
            let error = Madt::parse(&bytes).unwrap_err();
            assert_eq!(error, MadtError::Truncated, "length {stated}");
        }
    }

    #[test]
    fn another_table_is_refused() {
        let mut bytes = table(&[]);
        bytes[..4].copy_from_slice(b"FACP");
        assert_eq!(Madt::parse(&bytes).unwrap_err(), MadtError::NotAMadt);
    }
}
