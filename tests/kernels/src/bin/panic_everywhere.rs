//! All CPUs panic at the same time: one report, and an end.
#![no_std]
#![no_main]

use kernel::{Machine, smp};
use protocol::exit::ExitCode;
use test_kernels::Barrier;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(machine, &[("panics_on_every_cpu", panics_on_every_cpu)])
}

fn panics_on_every_cpu(_: &'static Machine) {
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        start.wait();
        panic!("on purpose, on CPU {}", me.get());
    });
}
