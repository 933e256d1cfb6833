//! Every CPU sleeps; the host has QEMU's monitor make one of them find a hardware error.
#![no_std]
#![no_main]

use kernel::Machine;
use kernel::platform::Halt;
use protocol::exit::ExitCode;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[("waits_for_a_machine_check", |_| Halt.until(&mut || false))],
    )
}
