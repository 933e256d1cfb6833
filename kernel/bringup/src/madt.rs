//! The Multiple APIC Description Table: what the firmware says about CPUs and their APICs.
//!
//! Layout: ACPI Specification 6.5, section 5.2.12. The entries that concern CPUs, I/O APICs and the
//! pins of both are read; the others are stepped over.
//!
//! Why not the `acpi` crate's own iterator (5.2.0 and 6.1.1 read): it trusts every entry's length.
//! A length of 0 keeps it at the same place for ever, one that is too short makes it read past the
//! table's end. The kernel takes the table from that crate and its entries from here, where every
//! byte is checked first.

mod entry;
#[cfg(test)]
pub(crate) mod tests;

use core::fmt;

use entry::{ENTRIES_AT, Entry, Walk, Whose, read_u32};

use crate::ApicId;

/// A MADT that is intact and whose entries are all well-formed.
///
/// Each of its iterators walks the entries anew: a step costs a few loads, a table of 255 CPUs has
/// some 260 entries.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    local_apic_address: u64,
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
        let address = read_u32(table, 36).ok_or(MadtError::Truncated)?;
        let entries = table.get(ENTRIES_AT..).ok_or(MadtError::Truncated)?;
        // All bytes of a table add up to 0 (section 5.2.6).
        if table
            .iter()
            .fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
            != 0
        {
            return Err(MadtError::Checksum);
        }

        let mut local_apic_address = u64::from(address);
        for entry in Walk::over(entries) {
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

    /// The CPUs (entry types 0 and 9), as listed: in the firmware's order, disabled ones and
    /// duplicates included.
    pub fn cpus(&self) -> impl Iterator<Item = MadtCpu> + use<'a> {
        self.entries().filter_map(|entry| match entry {
            Entry::Cpu(cpu) => Some(cpu),
            _ => None,
        })
    }

    /// The pins of this CPU's local APIC that NMI sources are wired to (entry types 4 and 0xA), as
    /// listed; a pin may be listed twice. Entries name a CPU by its UID, which its own entry tells;
    /// those for all CPUs count for one that is not listed, too. Entries about a pin that no local
    /// APIC has are left out.
    ///
    /// Walks all entries twice.
    pub fn nmi_pins_of(&self, apic_id: ApicId) -> impl Iterator<Item = NmiPin> + use<'a> {
        // Where there are several entries, the one that is enabled: firmware is known to fill up
        // its list with disabled entries that all have the same ID.
        let same = self.cpus().filter(|cpu| cpu.apic_id == apic_id);
        let own = same.min_by_key(|cpu| cpu.state).map(|cpu| cpu.uid);
        self.entries().filter_map(move |entry| match entry {
            Entry::Nmi { of, pin } => match of {
                Whose::All => Some(pin),
                Whose::Uid(uid) => (Some(uid) == own).then_some(pin),
            },
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

    /// The ISA interrupts that are not wired to the input of the same number, active high and
    /// edge-triggered (entry type 2), as listed.
    pub fn overrides(&self) -> impl Iterator<Item = Override> + use<'a> {
        self.entries().filter_map(|entry| match entry {
            Entry::Override(it) => Some(it),
            _ => None,
        })
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        // `parse` has seen every entry: none is an error.
        Walk::over(self.entries).filter_map(Result::ok)
    }
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

/// What can be done with a CPU that the MADT lists.
///
/// The more, the earlier in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CpuState {
    /// The firmware has it ready to be started.
    Enabled,
    /// It may be plugged in or switched on while the system runs.
    OnlineCapable,
    /// Not to be used. Firmware from before ACPI 6.3 knows no other way to list a CPU that may be
    /// plugged in later; QEMU still does that.
    Disabled,
}

/// A pin of a local APIC that an NMI source is wired to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmiPin {
    /// Which one.
    pub lint: Lint,
    /// Whether its signal is active low; else it is active high.
    pub active_low: bool,
    /// Whether it is level-triggered; else it is edge-triggered.
    pub level: bool,
}

/// The pins of a local APIC for interrupts that do not come from an I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lint {
    /// LINT0: the 8259's on a PC.
    Lint0,
    /// LINT1: NMI's on a PC.
    Lint1,
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

/// Where an ISA interrupt is wired to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The ISA interrupt (IRQ).
    pub source: u8,
    /// The global number (GSI) of the I/O APIC's input.
    pub gsi: u32,
    /// Whether its signal is active low; else it is active high.
    pub active_low: bool,
    /// Whether it is level-triggered; else it is edge-triggered.
    pub level: bool,
}

/// What is wrong with a MADT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadtError {
    /// The bytes do not begin with the signature `APIC`.
    NotAMadt,
    /// The header, or the length it states, passes the end of the bytes.
    Truncated,
    /// The bytes do not add up to 0: some have changed since the firmware wrote them.
    Checksum,
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
            Self::Checksum => f.write_str("the MADT's checksum is wrong"),
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
