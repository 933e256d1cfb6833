//! A test that reads an address where nothing is mapped.
#![no_std]
#![no_main]

use core::ptr;

use kernel::{Machine, cpu, smp};
use protocol::exit::ExitCode;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[("reads_where_nothing_is", reads_where_nothing_is)],
    )
}

fn reads_where_nothing_is(_: &'static Machine) {
    /// In the upper half, far from the kernel and from the physical memory's window.
    const NOWHERE: usize = 0xffff_ffff_0bad_c0d8;

    let last = cpu::online().last().expect("the BSP is online");
    smp::run_on_each(&|me| {
        if me == last {
            // SAFETY: the access does not take place. It faults, and the kernel does not go on.
            let value = unsafe { ptr::with_exposed_provenance::<u64>(NOWHERE).read_volatile() };
            kernel::log!("read {value}");
        }
    });
}
