//! What is said of CPUs that have gone wrong.

use protocol::{event::Event, start::Faulted};

use super::records::{Note, Reason};
use crate::{cpu::ApicId, log, log::emit};

/// A CPU has gone wrong. (With its own words, if it had come as far as that.)
pub(super) fn report(fault: &Faulted) {
    let Faulted {
        apic_id,
        stage,
        vector,
        address,
    } = *fault;
    let id = ApicId::new(apic_id);
    match vector {
        Some(vector) if address == 0 => log!("{id} has gone wrong {stage}: exception {vector}"),
        Some(vector) => log!("{id} has gone wrong {stage}: exception {vector} at {address:#x}"),
        None => log!("{id} has gone wrong {stage}: a panic"),
    }
    emit(&Event::Faulted(*fault));
}

/// A fault that is read when the start is over.
pub(super) fn stray(note: Note) {
    if let Reason::Fault {
        stage,
        vector,
        address,
    } = note.reason
    {
        report(&Faulted {
            apic_id: note.apic_id.get(),
            stage,
            vector,
            address,
        });
    }
}
