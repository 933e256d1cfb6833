//! The report about the start of the CPUs.

use alloc::vec::Vec;
use bringup::{ClockOffset, Event as Noticed, Progress, SlotState};
use protocol::{
    event::{CoreKind, Cpu, Event},
    options::Job,
    start::{Faulted, Stamps, Steps},
};
use raw_cpuid::{CpuId, Hypervisor};
use spin::Mutex;

use crate::{
    cpu::{self, ApicId, CpuIndex},
    emergency, interrupts, log,
    log::emit,
    time,
};

/// How the start of the CPUs went.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BringUp {
    /// CPUs that the firmware lists as enabled but that did not check in. They are left out.
    pub missing: Vec<ApicId>,
    /// Microseconds from the first INIT to the last check-in; 0 on a machine with one CPU.
    pub micros: u64,
    /// How far the clock of each other CPU is from the BSP's, in ticks.
    pub clocks: Vec<(CpuIndex, ClockOffset)>,
    pub(crate) steps: bringup::Steps,
}

static SEEN: Mutex<Vec<Noticed>> = Mutex::new(Vec::new());

/// Everything that has happened to CPUs that started, since boot. Thread context.
pub fn events() -> Vec<Noticed> {
    interrupts::without(|| SEEN.lock().clone())
}

/// Reports what happened to a CPU that starts. On the BSP, also as a handler; or at a panic's end.
pub(crate) fn event(event: Noticed) {
    log!("{event}");
    match event {
        Noticed::Faulted(fault) => emit(&Event::Faulted(Faulted {
            apic_id: fault.apic_id.get(),
            stage: fault.stage as u8,
            vector: fault.vector,
            address: fault.address,
        })),
        Noticed::Unlisted(id) => emit(&Event::Unlisted { apic_id: id.get() }),
        Noticed::Late(id) => emit(&Event::Late { apic_id: id.get() }),
        Noticed::Retried(_) | Noticed::NotSent(_) => {}
    }
    // A CPU that has stopped may hold the heap's lock, or this one.
    if !emergency::is_reporting() {
        // A handler must not find the locks held.
        interrupts::without(|| SEEN.lock().push(event));
    }
}

pub(crate) fn all(bring_up: &BringUp, job: Job, progress: impl Iterator<Item = Progress> + Clone) {
    let online = progress.filter(|cpu| cpu.state == SlotState::Online);
    cpus(bring_up.steps.begin, online.clone());
    if job == Job::Timeline {
        timeline(&bring_up.steps, online.clone().skip(1));
    }
    differences(&bring_up.clocks, online);
    summary(bring_up);
}

/// The index table, one row for each CPU that is online.
fn cpus(begin: u64, online: impl Iterator<Item = Progress>) {
    if !log::is_json() {
        log::plain(Cpu::HEADER);
    }
    for cpu in online {
        let topology = cpu::topology(cpu.cpu).expect("read before it was online");
        let place = topology.place;
        let row = Cpu {
            index: cpu.cpu.get() as u32,
            apic_id: cpu.apic_id.get(),
            package: place.package,
            die: place.die,
            core: place.core,
            thread: place.thread,
            kind: topology.kind.map(|kind| match kind {
                bringup::CoreKind::Performance => CoreKind::Performance,
                bringup::CoreKind::Efficiency => CoreKind::Efficiency,
            }),
            online_us: since(cpu.stamps[5], begin) / 1000,
        };
        emit(&Event::Cpu(row));
        if !log::is_json() {
            log::plain(row);
        }
    }
}

fn timeline(steps: &bringup::Steps, aps: impl Iterator<Item = Progress>) {
    emit(&Event::Steps(Steps {
        prepared_ns: steps.prepared_ns,
        sipi_ns: steps.sipi_ns,
        second_sipi_ns: steps.second_sipi_ns,
        seconds: steps.seconds,
        all_ns: steps.all_ns,
    }));
    for cpu in aps {
        emit(&Event::Stamps(Stamps {
            index: cpu.cpu.get() as u32,
            apic_id: cpu.apic_id.get(),
            attempts: cpu.attempts,
            at_ns: cpu.stamps.map(|ticks| since(ticks, steps.begin)),
        }));
    }
}

/// How far the clocks of these CPUs are from the BSP's, and whose memory types differ.
pub(crate) fn differences(
    clocks: &[(CpuIndex, ClockOffset)],
    progress: impl Iterator<Item = Progress>,
) {
    let agree = clocks.iter().filter(|(_, clock)| !clock.is_off());
    if let Some(ticks) = agree.map(|(_, clock)| clock.bound()).max() {
        log!("clocks agree with the BSP's to {:?}", time::length(ticks));
    }
    for (cpu, clock) in clocks.iter().filter(|(_, clock)| clock.is_off()) {
        let (ticks, error) = clock.estimate();
        let [by, error] = [ticks.unsigned_abs(), error].map(time::length);
        let way = if ticks < 0 { "behind" } else { "ahead of" };
        log!("the clock of {cpu} is {way} the BSP's by {by:?}, give or take {error:?}");
    }
    // At INIT, TCG clears the MTRRs, and uses none.
    let hypervisor = CpuId::new().get_hypervisor_info();
    if hypervisor.is_some_and(|info| info.identify() == Hypervisor::QEMU) {
        return;
    }
    let is_concerned = |cpu: &Progress| clocks.iter().any(|(concerned, _)| *concerned == cpu.cpu);
    let mut differ = progress.filter(is_concerned).filter_map(|cpu| Some((cpu.cpu, cpu.mtrr?)));
    if let Some((cpu, register)) = differ.next() {
        let cpus = differ.count() + 1;
        log!("CPUs whose MTRRs differ from the BSP's: {cpus}, {cpu} in MSR {register:#x}");
    }
}

fn summary(bring_up: &BringUp) {
    for id in &bring_up.missing {
        log!("{id} is listed by the firmware but has not started: left out");
        emit(&Event::Missing { apic_id: id.get() });
    }
    let online = cpu::count() as u32;
    let enabled = cpu::enabled() as u32;
    let micros = bring_up.micros;
    log!("{online} of {enabled} CPUs online after {}.{:03} ms", micros / 1000, micros % 1000);
    emit(&Event::Online { online, enabled, micros });
}

/// Nanoseconds from `begin`, itself in nanoseconds since boot; 0 for what never was.
pub(crate) fn since(ticks: u64, begin: u64) -> u64 {
    match ticks {
        0 => 0,
        ticks => time::at(ticks).saturating_sub(begin),
    }
}
