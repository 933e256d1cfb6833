//! A test that panics on the BSP, between one that passes and one that is never reached.
#![no_std]
#![no_main]

use kernel::smp::{self, Event};
use kernel::{Machine, testing};
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
        let is_late = |event| matches!(event, Event::Late(_));
        while !smp::events().into_iter().any(is_late) && !apic::is_requested(testing::PARKED) {
            core::hint::spin_loop();
        }
    }
    panic!("on purpose, on the BSP")
}
