//! The guest of the tests: many scenarios, of which the option `scenario` names the one to run.
#![no_std]
#![no_main]

extern crate alloc;

mod barrier;
mod bring_up;
mod clock;
mod counters;
mod doomed;
mod file;
mod firmware;
mod heap_and_log;
mod hotplug;
mod images;
mod ipi;
mod monitor_nmi;
mod nmi;
mod races;
mod single_step;
mod start_faults;
mod waiting;

use kernel::bootloader_api::BootInfo;
use kernel::testing::{self, Test};
use kernel::{ExitCode, Machine, log};
use protocol::options::Scenario;

kernel::bootloader_api::entry_point!(start, config = &kernel::BOOTLOADER_CONFIG);

/// As [`kernel::main!`], after damaging firmware's tables and arming an NMI if the host asks.
fn start(boot_info: &'static mut BootInfo) -> ! {
    monitor_nmi::tables::replace(boot_info);
    firmware::early::arm();
    kernel::start(env!("CARGO_BIN_NAME"), boot_info, run)
}

/// Makes ready for a scenario's tests, on this machine, and returns them.
type Tests = fn() -> &'static [Test];

/// The scenarios that are to pass.
const SCENARIOS: &[(&str, Tests)] = &[
    ("barrier", barrier::tests),
    ("bring_up", bring_up::tests),
    ("clock", clock::tests),
    ("counters", counters::tests),
    ("firmware", firmware::tests),
    ("heap_and_log", heap_and_log::tests),
    ("hotplug", hotplug::tests),
    ("images", images::tests),
    ("ipi", ipi::tests),
    ("monitor_nmi", monitor_nmi::tests),
    ("nmi", nmi::tests),
    ("races", races::tests),
    ("single_step", single_step::tests),
    ("start_faults", start_faults::tests),
    ("waiting", waiting::tests),
];

fn run(machine: &'static Machine) -> ExitCode {
    let scenario = machine.options.scenario;
    let name = scenario.as_ref().map_or("", Scenario::name);
    if let Some((_, tests)) = SCENARIOS.iter().find(|(known, _)| *known == name) {
        return testing::run(machine, tests());
    }
    if let Some((_, end)) = doomed::SCENARIOS.iter().find(|(known, _)| *known == name) {
        return end(machine);
    }
    let doomed = doomed::SCENARIOS.iter().map(|(known, _)| known);
    for known in SCENARIOS.iter().map(|(known, _)| known).chain(doomed) {
        log!("  {known}");
    }
    log!("scenario={name}: unknown; known are those above");
    ExitCode::Unfit
}
