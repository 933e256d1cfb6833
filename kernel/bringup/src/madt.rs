//! The Multiple APIC Description Table: what the firmware says about CPUs and their APICs.
//!
//! Layout: ACPI Specification 6.5, section 5.2.12. The entries that concern CPUs, their pins and
//! I/O APICs are read; the others are stepped over.
//!
//! The sound entries of a damaged table are used: an entry that is too short for its type is
//! skipped, and one whose length is below 2 or passes the end is the last. [`Madt::bad_entries`]
//! lists them. The checksum is ignored here; [`Tables::flaws`](crate::Tables::flaws) reports it.

#[cfg(test)]
pub(crate) mod tests;

use core::fmt;

use crate::{
    bytes::{read_u16, read_u32, table},
    id::ApicId,
};

/// A MADT that has a header. Each of its iterators walks the entries anew.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    entries: &'a [u8],
}

/// One CPU as the MADT lists it (entry types 0 and 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadtCpu {
    /// The ID of its local APIC.
    pub apic_id: ApicId,
    /// Its number in other ACPI tables, and in entries about its pins.
    pub uid: u32,
    /// Whether it can be started.
    pub state: CpuState,
}

/// The use of a CPU that the MADT lists: the more useful, the earlier in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CpuState {
    /// The firmware has it ready to be started.
    Enabled,
    /// It may be plugged in or switched on while the system runs.
    OnlineCapable,
    /// Neither: see [`CpuMap::from_madt`](crate::CpuMap::from_madt).
    Disabled,
}

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its ID.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
    /// The global number (GSI) of its first input.
    pub gsi_base: u32,
}

/// An entry that is too short for its type, or passes the end of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// Where it begins, in bytes from the start of the table.
    pub offset: usize,
    /// Its type.
    pub kind: u8,
    /// The length it states, in bytes; 0 if the table ends before it.
    pub length: u8,
}

impl<'a> Madt<'a> {
    /// The table in `bytes`, which begin with its header; bytes after the length that this states
    /// are ignored. `None` if it is another table, or ends before its length or its first entry.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let entries = table(bytes, b"APIC")?.get(ENTRIES_AT..)?;
        Some(Self { entries })
    }

    /// The CPUs (entry types 0 and 9) in the firmware's order, with disabled ones and duplicates.
    pub fn cpus(&self) -> impl Iterator<Item = MadtCpu> + use<'a> {
        self.walk().flatten().filter_map(|entry| entry.cpu)
    }

    /// The pins of local APICs that NMI sources are wired to (entry types 4 and 0xA), as listed,
    /// without implausible entries.
    pub(crate) fn nmis(&self) -> impl Iterator<Item = Nmi> + use<'a> {
        self.walk().flatten().filter_map(|entry| entry.nmi)
    }

    /// The I/O APICs (entry type 1), as listed.
    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + use<'a> {
        self.walk().flatten().filter_map(|entry| entry.io_apic)
    }

    /// The malformed entries, which are not used. For the log.
    pub fn bad_entries(&self) -> impl Iterator<Item = BadEntry> + use<'a> {
        self.walk().filter_map(Result::err)
    }

    /// Steps from entry to entry by their lengths. Every step is at least 2 bytes, so it ends.
    fn walk(&self) -> impl Iterator<Item = Result<Entry, BadEntry>> + use<'a> {
        let entries = self.entries;
        let mut at = 0;
        core::iter::from_fn(move || {
            let rest = entries.get(at..).filter(|rest| !rest.is_empty())?;
            let kind = rest[0];
            let length = rest.get(1).copied().unwrap_or(0);
            let offset = ENTRIES_AT + at;
            // Type and length themselves take 2 bytes: where the next entry begins cannot be known
            // if an entry states less, or more than there is.
            let bytes = rest.get(..usize::from(length)).filter(|_| length >= 2);
            at += bytes.map_or(rest.len(), <[u8]>::len);
            let bad = BadEntry { offset, kind, length };
            Some(bytes.and_then(Entry::read).ok_or(bad))
        })
    }
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, kind, length) = (self.offset, self.kind, self.length);
        write!(f, "the MADT's entry at byte {at} (type {kind}) has an impossible length, {length}")
    }
}

/// An entry's meaning: one of these, or nothing that is read.
#[derive(Default)]
struct Entry {
    cpu: Option<MadtCpu>,
    io_apic: Option<IoApic>,
    nmi: Option<Nmi>,
}

/// A pin of local APICs that an NMI source is wired to.
pub(crate) struct Nmi {
    /// The CPUs that it is about; `None`: all.
    pub(crate) uid: Option<u32>,
    /// LINT0 is the 8259's on a PC, LINT1 NMI's.
    pub(crate) lint: usize,
    pub(crate) active_low: bool,
}

/// The entries follow the 36-byte ACPI header, the local APIC's address and the flags.
const ENTRIES_AT: usize = 44;

/// Type 0, Processor Local APIC: type, length, UID, ID (8 bits each), flags (32 bits).
const LOCAL_APIC: u8 = 0;
/// Type 1, I/O APIC: type, length, ID, reserved (8 bits each), address, first GSI (32 bits each).
const IO_APIC: u8 = 1;
/// Type 4, Local APIC NMI: type, length, UID (8 bits each), flags (16 bits), LINT (8 bits).
const LOCAL_APIC_NMI: u8 = 4;
/// Type 9, Processor Local x2APIC: type, length, 2 reserved bytes, ID, flags, UID (32 bits each).
const LOCAL_X2APIC: u8 = 9;
/// Type 0xA, Local x2APIC NMI: type, length, flags (16 bits), UID (32), LINT (8), 3 reserved bytes.
const LOCAL_X2APIC_NMI: u8 = 0xa;

/// These address all CPUs. As an ID they name none; firmware uses them for "no CPU here".
const ALL: u8 = 0xff;
const X2_ALL: u32 = 0xffff_ffff;

impl Entry {
    /// Reads an entry of exactly its own length; `None` if that is too short for its type.
    fn read(bytes: &[u8]) -> Option<Self> {
        let byte = |at: usize| bytes.get(at).copied();
        // An ID or UID of one or of four bytes; `Some(None)`: all.
        let number = |at| byte(at).map(|it| (it != ALL).then_some(u32::from(it)));
        let x2_number = |at| read_u32(bytes, at).map(|it| (it != X2_ALL).then_some(it));
        let mut entry = Self::default();
        match byte(0)? {
            LOCAL_APIC => entry.cpu = cpu(number(3)?, byte(2)?.into(), read_u32(bytes, 4)?),
            LOCAL_X2APIC => {
                let (flags, uid) = (read_u32(bytes, 8)?, read_u32(bytes, 12)?);
                entry.cpu = cpu(x2_number(4)?, uid, flags);
            }
            IO_APIC => {
                entry.io_apic = Some(IoApic {
                    id: byte(2)?,
                    address: read_u32(bytes, 4)?,
                    gsi_base: read_u32(bytes, 8)?,
                });
            }
            LOCAL_APIC_NMI => entry.nmi = nmi(number(2)?, byte(5)?, read_u16(bytes, 3)?),
            LOCAL_X2APIC_NMI => entry.nmi = nmi(x2_number(4)?, byte(8)?, read_u16(bytes, 2)?),
            _ => {}
        }
        Some(entry)
    }
}

fn cpu(id: Option<u32>, uid: u32, flags: u32) -> Option<MadtCpu> {
    // Local APIC flags (section 5.2.12.2): bit 0 is Enabled; bit 1, Online Capable, counts only
    // where bit 0 is clear, and is reserved elsewhere.
    let state = match (flags & 1 != 0, flags & 2 != 0) {
        (true, _) => CpuState::Enabled,
        (false, true) => CpuState::OnlineCapable,
        (false, false) => CpuState::Disabled,
    };
    let apic_id = ApicId::new(id?);
    Some(MadtCpu { apic_id, uid, state })
}

/// `flags`: polarity and trigger mode, 2 bits each (MPS INTI flags, section 5.2.12.5). 0 is the
/// bus's own, which for a PC's NMI is active high and edge-triggered; 3 is active low, or level.
fn nmi(uid: Option<u32>, lint: u8, flags: u16) -> Option<Nmi> {
    // Bits 15:4 and the value 2 of either field are reserved. No local APIC has more than two pins
    // for this; real tables name 6, 115 and 237.
    let is_plausible = lint < 2 && flags >> 4 == 0 && flags & 3 != 2 && flags >> 2 & 3 != 2;
    is_plausible.then_some(Nmi { uid, lint: lint.into(), active_low: flags & 3 == 3 })
}
