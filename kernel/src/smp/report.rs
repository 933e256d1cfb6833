//! What is said about the start of the CPUs.

use core::sync::atomic::Ordering;

use protocol::event::{Cpu, Event};

use super::{BringUp, start::Seat};
use crate::{
    cpu::{self, topology},
    emit, log,
};

/// The index table, one row for each of these seats, whose CPUs are online.
pub(super) fn cpus(seats: &[&Seat], begin: u64) {
    if !log::is_json() {
        log::plain(Cpu::HEADER);
    }
    for seat in seats {
        let topology = topology::of(seat.cpu()).expect("read before it was online");
        let place = topology.place;
        let row = Cpu {
            index: seat.cpu().get() as u32,
            apic_id: seat.apic_id().get(),
            package: place.package,
            die: place.die,
            core: place.core,
            thread: place.thread,
            kind: topology::kind(topology),
            online_us: seat.online_at.load(Ordering::Relaxed).saturating_sub(begin) / 1000,
        };
        emit(&Event::Cpu(row));
        if !log::is_json() {
            log::plain(row);
        }
    }
}

/// Who is missing, and how many are there.
pub(super) fn summary(bring_up: &BringUp) {
    for id in &bring_up.missing {
        log!("{id} is listed by the firmware but has not started: left out");
        emit(&Event::Missing { apic_id: id.get() });
    }
    if bring_up.unlisted > 0 {
        log!(
            "{} CPUs have started that the firmware does not list: parked",
            bring_up.unlisted
        );
    }
    let online = cpu::count() as u32;
    let listed = cpu::listed() as u32;
    let micros = bring_up.micros;
    log!(
        "{online} of {listed} CPUs online after {}.{:03} ms",
        micros / 1000,
        micros % 1000
    );
    emit(&Event::Online {
        online,
        listed,
        micros,
    });
}
