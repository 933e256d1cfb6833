//! A test that panics on the BSP, between one that passes and one that is never reached.
#![no_std]
#![no_main]

use kernel::Machine;
use protocol::exit::ExitCode;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[
            ("passes", |_| ()),
            ("panics_on_the_bsp", |_| panic!("on purpose, on the BSP")),
            ("is_never_reached", |_| ()),
        ],
    )
}
