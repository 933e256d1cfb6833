//! A test that never ends.
#![no_std]
#![no_main]

use kernel::{Machine, interrupts};
use protocol::exit::ExitCode;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(machine, &[("passes", |_| ()), ("never_ends", never_ends)])
}

fn never_ends(_: &'static Machine) {
    interrupts::without(|| {
        loop {
            x86_64::instructions::hlt();
        }
    });
}
