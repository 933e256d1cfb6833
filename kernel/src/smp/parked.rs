//! CPUs that have parked themselves, as far as that has been read.

use alloc::vec::Vec;
use spin::Mutex;

use super::{Parked, entry, faults, records::Reason};

/// CPUs that have parked themselves since boot, as far as they have come. BSP, thread context.
#[must_use]
pub fn parked() -> Parked {
    let mut seen = SEEN.lock();
    while let Some(note) = entry::next_note() {
        match note.reason {
            // It had been given up before.
            Reason::Fault { .. } => faults::stray(note),
            Reason::Unlisted | Reason::Late => seen.parked.add(note.apic_id),
        }
    }
    seen.parked.clone()
}

/// Who has parked himself, as far as it has been read, and how many of them have been told of.
struct Seen {
    parked: Parked,
    told: (usize, usize),
}

static SEEN: Mutex<Seen> = Mutex::new(Seen {
    parked: Parked {
        unlisted: Vec::new(),
        late: Vec::new(),
    },
    told: (0, 0),
});

/// Remembers who has parked himself.
pub(super) fn note(parked: &Parked) {
    let mut seen = SEEN.lock();
    seen.parked.unlisted.extend(&parked.unlisted);
    seen.parked.late.extend(&parked.late);
}

/// Those who have not been told of; they are from now on.
pub(super) fn untold() -> Parked {
    let now = parked();
    let (unlisted, late) =
        core::mem::replace(&mut SEEN.lock().told, (now.unlisted.len(), now.late.len()));
    Parked {
        unlisted: now.unlisted[unlisted..].to_vec(),
        late: now.late[late..].to_vec(),
    }
}
