//! The other CPUs (APs): started all at once by crate [`bringup`], then idle until there is work; taken out and
//! brought back.
//!
//! | | where |
//! |---|---|
//! | what the crate asks of this kernel; an AP's set-up, and its way out | `starter` |
//! | work for CPUs, and the idle loop | `work` |
//! | [`offline`], [`online`], CPUs that are plugged in | `hotplug` |
//! | what is said about it all | `report` |
//! | faults on purpose | `faults` |
//!
//! `docs/bring-up.md` describes it step by step, with the traps on the way.

mod faults;
mod hotplug;
mod report;
mod starter;
mod work;

use core::sync::atomic::Ordering;

use bringup::{ClockOffset, Plan, Progress, Refused, SlotState, Steps};
use protocol::options::{Options, StartMode};

use self::starter::{INIT_NS, NO_MEMORY, STARTER, TIMEOUT_MS, run};
use crate::{
    apic, clock,
    cpu::{self, CpuIndex},
    emergency,
    interrupts::vector,
};

pub use hotplug::{OfflineError, StartError, offline, online};
pub use report::{BringUp, Parked, parked};
pub use work::run_on_each;

/// Stops all other CPUs, which the firmware may have left spinning: they slow this one, and would falsify what
/// it measures. Once, on the BSP, after [`apic::init`].
pub(crate) fn quiet() {
    // SAFETY: on these CPUs there is only firmware, which has handed over and is not needed any more.
    unsafe { bringup::quiet_others(apic::local()) };
}

/// Starts all CPUs that the firmware lists as enabled. Once, on the BSP; interrupts are off before and
/// after.
pub(crate) fn start(options: &Options) -> BringUp {
    emergency::LEAVE_OUT.set(Some(starter::leave_out));
    cpu::set_online(CpuIndex::BSP);
    TIMEOUT_MS.store(options.patience, Ordering::Relaxed);
    let wanted_ns = options
        .init_pause
        .map(|millis| u64::from(millis) * 1_000_000);
    let init_ns = wanted_ns.unwrap_or_else(|| Plan::default().init_ns);
    INIT_NS.store(init_ns, Ordering::Relaxed);
    faults::arm(options.fault);
    let prepared = STARTER.prepare(apic::local(), cpu::map());
    apic::set_handler(vector::PARKED, || STARTER.poll());
    emergency::LAST_LOOK.set(Some(|| STARTER.poll()));
    if prepared.is_ok() {
        // SAFETY: the BSP, which has the handler from now on.
        unsafe { STARTER.notify(vector::PARKED) };
    }
    let mut steps = Steps::default();
    let started = prepared.and_then(|()| start_as_asked(options.start, &mut steps));
    if let Err(refused) = started {
        crate::log!("{refused}: no other CPU can be started");
    }
    let progress = || STARTER.progress().filter(|cpu| cpu.is_enabled);
    let is_up = |cpu: &Progress| cpu.state == SlotState::Online;
    for cpu in progress().filter(is_up) {
        cpu::set_online(cpu.cpu);
    }
    match NO_MEMORY.load(Ordering::Relaxed) {
        0 => {}
        cpus => report::no_memory(cpus),
    }
    let last = progress()
        .filter(is_up)
        .map(|cpu| report::since(cpu.stamps[5], steps.begin));
    let bring_up = BringUp {
        missing: progress()
            .filter(|cpu| !is_up(cpu))
            .map(|cpu| cpu.apic_id)
            .collect(),
        faults: report::faults(),
        parked: report::parked(),
        micros: last.max().unwrap_or(0) / 1000,
        clocks: cpu::others().map(|cpu| (cpu, clock_of(cpu))).collect(),
        steps,
    };
    report::all(&bring_up, options.job, STARTER.progress());
    bring_up
}

/// How far a CPU's clock is from the BSP's.
fn clock_of(cpu: CpuIndex) -> ClockOffset {
    clock::offset(cpu, faults::clock_lag(cpu::apic_id(cpu)))
}

/// Starts the enabled CPUs. Those that are to fail on purpose in the trampoline, which all share, come last.
fn start_as_asked(mode: StartMode, steps: &mut Steps) -> Result<(), Refused> {
    if mode == StartMode::Serial {
        let mut one_by_one = cpu::map().iter_enabled();
        return one_by_one.try_for_each(|(index, _)| run(|cpu| cpu.cpu == index, false, steps));
    }
    let broadcast = mode == StartMode::Broadcast && !faults::chosen();
    let is_last = |cpu: Progress| faults::is_last(cpu.apic_id);
    run(|cpu| cpu.is_enabled && !is_last(cpu), broadcast, steps)?;
    run(|cpu| cpu.is_enabled && is_last(cpu), broadcast, steps)
}
