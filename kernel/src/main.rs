//! The main job: the [storm](kernel::storm); or, if it is told so, the [bench](kernel::bench).
#![no_std]
#![no_main]

kernel::main!(run);

fn run(machine: &'static kernel::Machine) -> kernel::ExitCode {
    if machine.options.bench.is_some() {
        kernel::bench::run(machine)
    } else {
        kernel::storm::run(machine)
    }
}
