//! The main job: the [storm](kernel::storm); or nothing more than to start all CPUs.
#![no_std]
#![no_main]

extern crate alloc;

use kernel::{ExitCode, Machine, acpi, cpu, log};
use protocol::options::Job;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    if let Some(scenario) = machine.options.scenario {
        log!("scenario={scenario:?}: only the guest of the tests has scenarios");
        return ExitCode::Unfit;
    }
    match machine.options.job {
        Job::Storm => kernel::storm::run(machine),
        // The output of other jobs was logged while the CPUs were started.
        job => {
            if job == Job::Report {
                acpi::show_madt();
            }
            let (online, enabled) = (cpu::count(), cpu::enabled());
            kernel::log::verdict(
                online == enabled,
                &alloc::format!("{online} of {enabled} CPUs online"),
            )
        }
    }
}
