//! The main job: the [storm](kernel::storm); or, if it is told so, the [bench](kernel::bench); or
//! nothing more than to start all CPUs.
#![no_std]
#![no_main]

extern crate alloc;

use kernel::{ExitCode, Machine, acpi, cpu};
use protocol::options::Job;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    match (machine.options.job, machine.options.bench) {
        (Job::Storm, None) => kernel::storm::run(machine),
        (Job::Storm, Some(_)) => kernel::bench::run(machine),
        (job @ (Job::Topology | Job::Report), _) => {
            cpu::topology::report();
            if job == Job::Report {
                acpi::show_madt();
            }
            brought_up()
        }
        (Job::BringUp | Job::Timeline, _) => brought_up(),
    }
}

/// What was asked for has been told while the CPUs were started.
fn brought_up() -> ExitCode {
    let (online, listed) = (cpu::count(), cpu::listed());
    kernel::log::verdict(
        online == listed,
        &alloc::format!("{online} of {listed} CPUs online"),
    )
}
