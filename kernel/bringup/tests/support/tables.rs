//! Tables to test with.

use bringup::{ApicId, CpuState, IoApic, LintUse, MadtCpu};
use proptest::{collection::vec, prelude::*, sample::select};

use super::exercise::seal;

/// A table with these entries, as firmware would write it.
pub(crate) fn table(entries: &[u8]) -> Vec<u8> {
    // The header, of which signature, length and checksum are still to come; the local APIC's
    // address; the flags.
    let mut bytes = vec![5; 44];
    bytes.extend(entries);
    seal(&mut bytes);
    bytes
}

/// An entry, in the parts that are read.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Xapic { id: u8, uid: u8, flags: u32 },
    X2apic { id: u32, uid: u32, flags: u32 },
    IoApic(IoApic),
    Nmi { uid: u8, lint: u8, inti: u16 },
    X2apicNmi { uid: u32, lint: u8, inti: u16 },
    Other { kind: u8, content: Vec<u8> },
}

impl Entry {
    pub(crate) fn write(&self) -> Vec<u8> {
        let (kind, content): (u8, Vec<u8>) = match self {
            Self::Xapic { id, uid, flags } => {
                (0, [&[*uid, *id], &flags.to_le_bytes()[..]].concat())
            }
            Self::X2apic { id, uid, flags } => {
                let numbers = [0, *id, *flags, *uid].map(u32::to_le_bytes).concat();
                (9, numbers[2..].to_vec())
            }
            Self::IoApic(it) => {
                let numbers = [it.address, it.gsi_base].map(u32::to_le_bytes).concat();
                (1, [&[it.id, 0], &numbers[..]].concat())
            }
            Self::Nmi { uid, lint, inti } => {
                let [low, high] = inti.to_le_bytes();
                (4, vec![*uid, low, high, *lint])
            }
            Self::X2apicNmi { uid, lint, inti } => {
                let (uid, inti) = (uid.to_le_bytes(), inti.to_le_bytes());
                (0xa, [&inti[..], &uid, &[*lint, 0, 0, 0]].concat())
            }
            Self::Other { kind, content } => (*kind, content.clone()),
        };
        [&[kind, content.len() as u8 + 2], &content[..]].concat()
    }

    pub(crate) fn cpu(&self) -> Option<MadtCpu> {
        let (id, uid, flags) = match *self {
            Self::Xapic { id, uid, flags } if id != 0xff => (id.into(), uid.into(), flags),
            Self::X2apic { id, uid, flags } if id != !0 => (id, uid, flags),
            _ => return None,
        };
        let state = match flags % 4 {
            0 => CpuState::Disabled,
            2 => CpuState::OnlineCapable,
            _ => CpuState::Enabled,
        };
        let apic_id = ApicId::new(id);
        Some(MadtCpu {
            apic_id,
            uid,
            state,
        })
    }

    /// The pin of which this says what can be, if it does so of the CPU with the UID `own`: its
    /// number, and what it is for.
    pub(crate) fn nmi_pin(&self, own: Option<u32>) -> Option<(usize, LintUse)> {
        let (uid, lint, inti) = match *self {
            Self::Nmi { uid, lint, inti } => ((uid < 0xff).then_some(uid.into()), lint, inti),
            Self::X2apicNmi { uid, lint, inti } => ((uid < !0).then_some(uid), lint, inti),
            _ => return None,
        };
        let is_plausible = lint < 2 && inti < 16 && inti & 3 != 2 && inti & 12 != 8;
        let active_low = inti & 3 == 3;
        let pin = (lint.into(), LintUse::Nmi { active_low });
        (is_plausible && (uid.is_none() || uid == own)).then_some(pin)
    }
}

/// Few different IDs and UIDs, so that some are there twice and some refer to each other.
pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let x2_id = || prop_oneof![0u32..20, 250u32..260, Just(!0), any::<u32>()];
    let x_id = || prop_oneof![0u8..20, 250u8..];
    prop_oneof![
        4 => (x_id(), x_id(), any::<u32>()).prop_map(|(id, uid, flags)| Entry::Xapic { id, uid, flags }),
        4 => (x2_id(), x2_id(), any::<u32>())
            .prop_map(|(id, uid, flags)| Entry::X2apic { id, uid, flags }),
        1 => (any::<u8>(), any::<u32>(), any::<u32>())
            .prop_map(|(id, address, gsi_base)| Entry::IoApic(IoApic { id, address, gsi_base })),
        2 => (x_id(), 0u8..3, 0u16..18)
            .prop_map(|(uid, lint, inti)| Entry::Nmi { uid, lint, inti }),
        2 => (x2_id(), 0u8..3, 0u16..18)
            .prop_map(|(uid, lint, inti)| Entry::X2apicNmi { uid, lint, inti }),
        1 => (select(&[2, 3, 5, 6, 7, 8, 0xb, 0x10, 0x7f, 0x80, 0xff]), vec(any::<u8>(), 0..30))
            .prop_map(|(kind, content)| Entry::Other { kind, content }),
    ]
}

/// A type that means something more often than not, any content, and a length that may be another's.
pub(crate) fn shapeless_entry() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![20 => Just(None), 1 => any::<u8>().prop_map(Some)];
    (
        prop_oneof![0u8..12, any::<u8>()],
        length,
        vec(any::<u8>(), 4..20),
    )
        .prop_map(|(kind, length, content)| {
            let own = content.len() as u8 + 2;
            [&[kind, length.unwrap_or(own)], &content[..]].concat()
        })
}
