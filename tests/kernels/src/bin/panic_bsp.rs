//! A test that panics on the BSP, between one that passes and one that is never reached.
#![no_std]
#![no_main]

use kernel::{Machine, smp, testing};
use protocol::exit::ExitCode;
use test_kernels::apic;
use x86_64::instructions::interrupts;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[
            ("passes", |_| ()),
            ("panics_on_the_bsp", panics_on_the_bsp),
            ("is_never_reached", |_| ()),
        ],
    )
}

fn panics_on_the_bsp(machine: &'static Machine) {
    // With interrupts off, nothing but the panic reports a CPU that comes now.
    interrupts::disable();
    if machine.options.fault.is_some() {
        while smp::parked().late.is_empty() && !apic::is_requested(testing::PARKED) {
            core::hint::spin_loop();
        }
    }
    panic!("on purpose, on the BSP")
}
