//! A test that takes the machine down by a triple fault.
#![no_std]
#![no_main]

use kernel::Machine;
use protocol::exit::ExitCode;
use x86_64::VirtAddr;
use x86_64::instructions::{interrupts, tables};
use x86_64::structures::DescriptorTablePointer;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(machine, &[("faults_three_times", faults_three_times)])
}

fn faults_three_times(_: &'static Machine) {
    let no_gates = DescriptorTablePointer {
        limit: 0,
        base: VirtAddr::zero(),
    };
    // SAFETY: nothing relies on the interrupt table after this, for the processor finds no gate for
    // the breakpoint, none for the fault that this is, none for the double fault, and gives up.
    unsafe { tables::lidt(&no_gates) };
    interrupts::int3();
}
