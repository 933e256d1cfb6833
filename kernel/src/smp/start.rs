//! The start of all CPUs.

use core::sync::atomic::Ordering;

use bringup::{Progress, Refused, SlotState, Steps};
use protocol::options::{Options, StartMode};

use super::{
    faults,
    report::{self, BringUp},
    starter::{STARTER, TIMEOUT_MS, run},
};
use crate::{
    apic,
    cpu::{self, CpuIndex},
};

/// Starts all CPUs that the firmware lists as enabled. Once, on the BSP; interrupts are off before
/// and after.
pub(crate) fn start(options: &Options) -> BringUp {
    cpu::set_online(cpu::local());
    TIMEOUT_MS.store(options.patience, Ordering::Relaxed);
    faults::arm(options.fault);
    let prepared = STARTER.prepare(apic::local(), cpu::map());
    let mut steps = Steps::default();
    let started = prepared.and_then(|()| start_as_asked(options.start, &mut steps));
    if let Err(refused) = started {
        crate::log!("{refused}: no other CPU can be started");
    }
    let is_up = |cpu: &Progress| cpu.state == SlotState::Online;
    let up = STARTER.progress().filter(is_up);
    for area in up.filter_map(|cpu| cpu::area(cpu.cpu)) {
        cpu::set_online(area);
    }
    let bring_up = report::bring_up(steps);
    report::all(&bring_up, options.job);
    bring_up
}

/// Starts the enabled CPUs. Those that are to fail on purpose in the trampoline, which all share,
/// come last.
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

/// Whether this CPU may fail alone: it is on its way, or has been taken out. Not so from the moment
/// on at which it says that it is ready, when it may be declared online at any time, to that at
/// which it has answered everything and left.
pub(crate) fn is_starting() -> bool {
    let cpu = cpu::current();
    cpu != CpuIndex::BSP && STARTER.state(cpu) != SlotState::Online
}

/// The end of a CPU that has faulted while it started: it is recorded and halts.
pub(crate) fn park_faulty(vector: Option<u8>, address: u64) -> ! {
    STARTER.fail(cpu::current(), vector, address)
}
