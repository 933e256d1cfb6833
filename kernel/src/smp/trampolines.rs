//! All the trampolines of a start, and what becomes of them after it.

use alloc::vec::Vec;
use protocol::options::{Fault, FaultKind};
use spin::{Mutex, Once};

use super::{
    records::Note,
    seat::{self, Seat},
    trampoline::{Destination, Mark, Sabotage, Trampoline},
};
use crate::{cpu::ApicId, time};

/// The pages in which CPUs wake up: one pair that they share, and one for each CPU that is to go wrong in
/// it.
///
/// They stay the same for as long as somebody may be in them. So whoever wakes up late, or by a SIPI of an
/// earlier attempt, finds the same code, and what he writes down there is read.
#[derive(Debug)]
pub(super) struct Trampolines {
    shared: Trampoline,
    own: Vec<(ApicId, Trampoline)>,
}

impl Trampolines {
    /// `None`: there is no usable memory for them.
    pub(super) fn install(seats: &[&'static Seat]) -> Option<Self> {
        if seats.iter().any(|seat| seat.has_fault(FaultKind::Memory)) {
            return None;
        }
        let sabotages: Vec<(ApicId, Sabotage)> = seats
            .iter()
            .filter_map(|seat| Some((seat.apic_id(), sabotage(seat.fault()?)?)))
            .collect();
        let mut trampolines = match KEPT.lock().take() {
            Some(kept) => kept,
            None => {
                // If it concerns all of them, they can go wrong together.
                let all = sabotages.first().filter(|_| sabotages.len() == seats.len());
                let sabotage = all.map_or_else(Sabotage::default, |(_, sabotage)| *sabotage);
                Self {
                    shared: Trampoline::install(sabotage)?,
                    own: Vec::new(),
                }
            }
        };
        for (id, sabotage) in sabotages {
            let has_own = trampolines.own.iter().any(|(other, _)| *other == id);
            if !has_own && trampolines.shared.sabotage() != sabotage {
                let Some(own) = Trampoline::install(sabotage) else {
                    trampolines.put_away();
                    return None;
                };
                trampolines.own.push((id, own));
            }
        }
        Some(trampolines)
    }

    pub(super) fn page_of(&self, seat: &Seat) -> u8 {
        let own = self.own.iter().find(|(id, _)| *id == seat.apic_id());
        own.map_or(&self.shared, |(_, trampoline)| trampoline)
            .number()
    }

    /// The page of all of them, if there is just one.
    pub(super) fn only_page(&self) -> Option<u8> {
        self.own.is_empty().then(|| self.shared.number())
    }

    pub(super) fn next_note(&self) -> Option<Note> {
        let own = self.own.iter().find_map(|(_, own)| own.next_note());
        own.or_else(|| self.shared.next_note())
    }

    /// Gives them back if everybody who was ever sent there has left. Else they stay.
    pub(super) fn put_away(self) {
        if seat::all_have_left() {
            // In the reverse order, as they are taken back.
            let own = self.own.into_iter().rev();
            own.for_each(|(_, trampoline)| trampoline.give_back());
            self.shared.give_back();
        } else {
            *KEPT.lock() = Some(self);
        }
    }
}

/// Those that must stay, between two starts.
static KEPT: Mutex<Option<Trampolines>> = Mutex::new(None);

/// What a fault makes of the trampoline; `None`: nothing, it happens elsewhere.
fn sabotage(fault: Fault) -> Option<Sabotage> {
    static LATE_UNTIL: Once<u64> = Once::new();
    let usual = Sabotage::default();
    let at = |mark| Sabotage {
        at: Some(mark),
        ..usual
    };
    let to = |to| Sabotage { to, ..usual };
    Some(match fault.kind {
        FaultKind::Real => at(Mark::Real),
        FaultKind::Protected => at(Mark::Protected),
        FaultKind::Long => at(Mark::Long),
        FaultKind::Write => to(Destination::Write),
        FaultKind::Execute => to(Destination::Execute),
        FaultKind::Entry => to(Destination::FaultyEntry),
        // However often it is started.
        FaultKind::Late => Sabotage {
            not_before: *LATE_UNTIL
                .call_once(|| time::ticks_in(u64::from(fault.millis) * 1_000_000)),
            ..usual
        },
        _ => return None,
    })
}
