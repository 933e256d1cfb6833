//! The table's entries, one after the other.
//!
//! Layouts: ACPI Specification 6.5, sections 5.2.12.2 to 5.2.12.13. Every read is checked against
//! the entry's own length.

use super::{BadEntry, CpuState, IoApic, Lint, MadtCpu, Override};
use crate::{
    ApicId,
    bytes::{read_u16, read_u32},
};

/// The entries follow the 36-byte ACPI header, the local APIC's address and the flags.
pub(super) const ENTRIES_AT: usize = 44;

/// What an entry says, of the kinds that are read.
pub(super) enum Entry {
    Cpu(MadtCpu),
    IoApic(IoApic),
    Override(Override),
    Nmi(Nmi),
    Other,
}

/// A pin of local APICs that an NMI source is wired to.
pub(crate) struct Nmi {
    pub(crate) of: Whose,
    pub(crate) lint: Lint,
    pub(crate) active_low: bool,
}

/// The CPUs that an NMI entry is about.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    All,
    Uid(u32),
}

/// Steps from entry to entry, each by its own length. Every step is at least 2 bytes, so it ends.
pub(super) struct Walk<'a> {
    entries: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn over(entries: &'a [u8]) -> Self {
        Self { entries, at: 0 }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, BadEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .entries
            .get(self.at..)
            .filter(|rest| !rest.is_empty())?;
        let kind = rest[0];
        let length = rest.get(1).copied().unwrap_or(0);
        let offset = ENTRIES_AT + self.at;
        // Type and length themselves take 2 bytes: where the next entry begins cannot be known if
        // an entry states less, or more than there is.
        let bytes = rest.get(..usize::from(length)).filter(|_| length >= 2);
        self.at += bytes.map_or(rest.len(), <[u8]>::len);
        let entry = bytes.and_then(Entry::read);
        Some(entry.ok_or(BadEntry {
            offset,
            kind,
            length,
        }))
    }
}

/// Type 0, Processor Local APIC: type, length, UID, ID (8 bits each), flags (32 bits).
const LOCAL_APIC: u8 = 0;
/// Type 1, I/O APIC: type, length, ID, reserved (8 bits each), address, first GSI (32 bits each).
const IO_APIC: u8 = 1;
/// Type 2, Interrupt Source Override: type, length, bus, source (8 bits each), GSI (32 bits), flags
/// (16 bits).
const OVERRIDE: u8 = 2;
/// Type 4, Local APIC NMI: type, length, UID (8 bits each), flags (16 bits), LINT (8 bits).
const LOCAL_APIC_NMI: u8 = 4;
/// Type 9, Processor Local x2APIC: type, length, 2 reserved bytes, ID, flags, UID (32 bits each).
const LOCAL_X2APIC: u8 = 9;
/// Type 0xA, Local x2APIC NMI: type, length, flags (16 bits), UID (32 bits), LINT (8 bits), 3
/// reserved bytes.
const LOCAL_X2APIC_NMI: u8 = 0xa;

/// These address all CPUs. As an ID they name none; firmware uses them for "no CPU here".
const ALL: u8 = 0xff;
const X2_ALL: u32 = 0xffff_ffff;

/// The only bus of type 2.
const ISA: u8 = 0;

impl Entry {
    /// Reads an entry of exactly its own length; `None` if that is too short for its type.
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(match *bytes.first()? {
            LOCAL_APIC => {
                let (uid, id) = (*bytes.get(2)?, *bytes.get(3)?);
                let flags = read_u32(bytes, 4)?;
                match id {
                    ALL => Self::Other,
                    id => Self::cpu(id.into(), uid.into(), flags),
                }
            }
            LOCAL_X2APIC => {
                let (id, flags) = (read_u32(bytes, 4)?, read_u32(bytes, 8)?);
                let uid = read_u32(bytes, 12)?;
                match id {
                    X2_ALL => Self::Other,
                    id => Self::cpu(id, uid, flags),
                }
            }
            IO_APIC => Self::IoApic(IoApic {
                id: *bytes.get(2)?,
                address: read_u32(bytes, 4)?,
                gsi_base: read_u32(bytes, 8)?,
            }),
            OVERRIDE => {
                let (bus, source) = (*bytes.get(2)?, *bytes.get(3)?);
                let gsi = read_u32(bytes, 4)?;
                let (active_low, level) = inti(read_u16(bytes, 8)?);
                match bus {
                    ISA => Self::Override(Override {
                        source,
                        gsi,
                        active_low,
                        level,
                    }),
                    _ => Self::Other,
                }
            }
            LOCAL_APIC_NMI => {
                let of = match *bytes.get(2)? {
                    ALL => Whose::All,
                    uid => Whose::Uid(uid.into()),
                };
                Self::nmi(of, *bytes.get(5)?, read_u16(bytes, 3)?)
            }
            LOCAL_X2APIC_NMI => {
                let of = match read_u32(bytes, 4)? {
                    X2_ALL => Whose::All,
                    uid => Whose::Uid(uid),
                };
                Self::nmi(of, *bytes.get(8)?, read_u16(bytes, 2)?)
            }
            _ => Self::Other,
        })
    }

    fn cpu(id: u32, uid: u32, flags: u32) -> Self {
        // Local APIC flags (section 5.2.12.2): bit 0 is Enabled; bit 1, Online Capable, counts only
        // where bit 0 is clear, and is reserved elsewhere.
        let state = match (flags & 1 != 0, flags & 2 != 0) {
            (true, _) => CpuState::Enabled,
            (false, true) => CpuState::OnlineCapable,
            (false, false) => CpuState::Disabled,
        };
        Self::Cpu(MadtCpu {
            apic_id: ApicId::new(id),
            uid,
            state,
        })
    }

    fn nmi(of: Whose, lint: u8, flags: u16) -> Self {
        // Bits 15:4 and the value 2 of either field are reserved.
        let is_plausible = flags >> 4 == 0 && flags & 3 != 2 && flags >> 2 & 3 != 2;
        let lint = match lint {
            0 if is_plausible => Lint::Lint0,
            1 if is_plausible => Lint::Lint1,
            // No local APIC has more pins for this. Real tables name 6, 115 and 237.
            _ => return Self::Other,
        };
        let (active_low, _) = inti(flags);
        Self::Nmi(Nmi {
            of,
            lint,
            active_low,
        })
    }
}

/// Polarity and trigger mode by the MPS INTI flags (section 5.2.12.5): whether the signal is active
/// low, and whether it is level-triggered. Each has 2 bits, of which 0 says "as the bus has it": on
/// ISA, and for a PC's NMI, that is active high and edge-triggered. 2 is reserved, and read as 0.
fn inti(flags: u16) -> (bool, bool) {
    (flags & 3 == 3, flags >> 2 & 3 == 3)
}
