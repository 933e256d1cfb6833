//! A guest that passes its test and then ends with a code of nobody's.
#![no_std]
#![no_main]

use kernel::Machine;
use protocol::exit::{self, ExitCode};
use x86_64::instructions::port::Port;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    let code = kernel::testing::run(machine, &[("passes", |_| ())]);
    // SAFETY: the port is that of QEMU's `isa-debug-exit`, which ends the machine.
    unsafe { Port::new(exit::PORT).write(0x3f_u32) };
    code
}
