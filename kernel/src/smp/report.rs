//! What is said about the start of the CPUs.

use core::sync::atomic::Ordering;

use protocol::{
    event::{Cpu, Event},
    options::Job,
    start::Stamps,
};

use super::{
    BringUp, parked,
    seat::{self, Seat, State},
};
use crate::{
    cpu::{self, ApicId, topology},
    log,
    log::emit,
    time,
};

/// The whole report, once the start is over.
pub(super) fn all(bring_up: &BringUp, job: Job) {
    cpus(bring_up.begin);
    if job == Job::Timeline {
        timeline(bring_up);
    }
    summary(bring_up);
    parked::note(&bring_up.parked);
    latecomers();
}

/// A CPU is given another chance.
pub(super) fn once_more(id: ApicId) {
    log!("{id} has not started: trying once more");
}

/// So many CPUs cannot be started.
pub(super) fn no_memory(cpus: usize) {
    log!("no memory for the stacks of {cpus} CPUs: left out (QEMU: -m)");
}

/// No CPU can be started.
pub(super) fn no_low_memory() {
    log!("no two usable pages below 1 MiB side by side: no other CPU can be started");
}

/// Who has parked himself and has not been told of. Once more before the kernel ends.
pub(crate) fn latecomers() {
    let parked = parked::untold();
    for id in &parked.unlisted {
        log!("{id} has started, but the firmware does not list it as enabled: parked");
        emit(&Event::Unlisted { apic_id: id.get() });
    }
    for id in &parked.late {
        log!("{id} has started after it was given up: parked");
        emit(&Event::Late { apic_id: id.get() });
    }
}

/// The index table, one row for each CPU that is online.
fn cpus(begin: u64) {
    if !log::is_json() {
        log::plain(Cpu::HEADER);
    }
    for seat in online() {
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
            online_us: since(seat.last_stamp(), begin) / 1000,
        };
        emit(&Event::Cpu(row));
        if !log::is_json() {
            log::plain(row);
        }
    }
}

/// When each CPU was how far.
fn timeline(bring_up: &BringUp) {
    emit(&Event::Steps(bring_up.steps));
    for seat in online().skip(1) {
        let stamp = |phase: usize| seat.stamps[phase].load(Ordering::Relaxed);
        emit(&Event::Stamps(Stamps {
            index: seat.cpu().get() as u32,
            apic_id: seat.apic_id().get(),
            attempts: seat.attempts(),
            at_ns: core::array::from_fn(|phase| since(stamp(phase), bring_up.begin)),
        }));
    }
}

/// Who is missing, and how many are there.
fn summary(bring_up: &BringUp) {
    for id in &bring_up.missing {
        log!("{id} is listed by the firmware but has not started: left out");
        emit(&Event::Missing { apic_id: id.get() });
    }
    for (cpu, by) in &bring_up.behind {
        log!("the clock of {cpu} is behind those of others by {by:?} at least");
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

fn online() -> impl Iterator<Item = &'static Seat> {
    seat::all()
        .iter()
        .filter(|seat| seat.state() == State::Online)
}

/// Nanoseconds from `begin`, itself in nanoseconds since boot; 0 for what never was.
fn since(ticks: u64, begin: u64) -> u64 {
    match ticks {
        0 => 0,
        ticks => time::at(ticks).saturating_sub(begin),
    }
}
