//! The other CPUs (APs): started all at once by crate [`bringup`], then idle until there is work;
//! taken out and brought back. `docs/bring-up.md` describes it step by step, with its traps.

mod hotplug;
mod starter;

use core::sync::atomic::Ordering;

use bringup::{CannotStart, ClockOffset, Plan, Progress, SlotState, Steps};
use protocol::options::{Options, StartMode};

use self::starter::{NO_MEMORY, PLAN, STARTER, run};
use crate::{
    apic, clock,
    cpu::{self, CpuIndex},
    emergency, faults,
    interrupts::vector,
    report,
};

pub use crate::report::{BringUp, events};
pub use crate::work::run_on_each;
pub use bringup::Event;
pub use hotplug::{OfflineError, StartError, offline, online};

/// Reports the records of CPUs that parked. BSP, any context but NMI; or the last CPU that runs.
pub(crate) fn poll() {
    STARTER.poll();
}

/// Starts all CPUs that the firmware lists as enabled. Once, on the BSP; interrupts are off before
/// and after.
pub(crate) fn start(options: &Options) -> BringUp {
    emergency::LEAVE_OUT.set(Some(starter::leave_out));
    cpu::set_online(CpuIndex::BSP);
    PLAN.call_once(|| {
        let nanos = |millis| u64::from(millis) * 1_000_000;
        let usual = Plan::default();
        Plan {
            init_ns: options.init_pause.map_or(usual.init_ns, nanos),
            timeout_ns: nanos(options.start_timeout),
            ..usual
        }
    });
    faults::arm(options.fault, options.start_timeout);
    let prepared = STARTER.prepare(apic::local(), cpu::map());
    apic::set_handler(vector::PARKED, poll);
    emergency::LAST_LOOK.set(Some(poll));
    if prepared.is_ok() {
        // SAFETY: the BSP, which has the handler from now on.
        unsafe { STARTER.notify(vector::PARKED) };
    }
    let mut steps = Steps::default();
    let started = prepared.and_then(|()| start_as_asked(options.start, &mut steps));
    if let Err(refused) = started {
        crate::log!("{refused}: no other CPU can be started");
    }
    if let Some(fault) = faults::start_is_over() {
        STARTER.inject(fault);
    }
    let mut bring_up = BringUp { steps, ..BringUp::default() };
    for listed in STARTER.progress().filter(|cpu| cpu.is_enabled) {
        let cpu = listed.cpu;
        if listed.state != SlotState::Online {
            bring_up.missing.push(listed.apic_id);
            continue;
        }
        cpu::set_online(cpu);
        let micros = report::since(listed.stamps[5], steps.begin) / 1000;
        bring_up.micros = bring_up.micros.max(micros);
    }
    bring_up.clocks = cpu::others().map(|cpu| (cpu, clock_of(cpu))).collect();
    let cpus = NO_MEMORY.load(Ordering::Relaxed);
    if cpus > 0 {
        crate::log!("no memory for the stacks of {cpus} CPUs: left out (QEMU: -m)");
    }
    report::all(&bring_up, options.job, STARTER.progress());
    bring_up
}

fn clock_of(cpu: CpuIndex) -> ClockOffset {
    clock::offset(cpu, faults::clock_lag(cpu::apic_id(cpu)))
}

/// Starts the enabled CPUs, last those that will fail in the trampoline, which all share.
fn start_as_asked(mode: StartMode, steps: &mut Steps) -> Result<(), CannotStart> {
    if mode == StartMode::Serial {
        let mut one_by_one = cpu::map().iter_enabled();
        return one_by_one.try_for_each(|(index, _)| run(|cpu| cpu.cpu == index, false, steps));
    }
    let broadcast = mode == StartMode::Broadcast && !faults::chosen();
    let is_last = |cpu: Progress| faults::is_last(cpu.apic_id);
    run(|cpu| cpu.is_enabled && !is_last(cpu), broadcast, steps)?;
    run(|cpu| cpu.is_enabled && is_last(cpu), broadcast, steps)
}
