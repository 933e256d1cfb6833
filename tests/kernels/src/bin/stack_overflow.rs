//! A test that runs out of stack on the last CPU.
#![no_std]
#![no_main]

use core::hint::black_box;

use kernel::{Machine, cpu, smp};
use protocol::exit::ExitCode;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(machine, &[("recurses_for_ever", recurses_for_ever)])
}

fn recurses_for_ever(_: &'static Machine) {
    let last = cpu::online().last().expect("the BSP is online");
    smp::run_on_each(&|me| {
        if me == last {
            kernel::log!("depth {}", descend(0));
        }
    });
}

#[expect(unconditional_recursion, reason = "that is the purpose")]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    // Not a tail call: the frame is used after it.
    descend(depth + 1) + black_box(frame)[0]
}
