//! A test that panics on the last CPU, while all others run on and on with interrupts disabled.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};

use kernel::{Machine, cpu, interrupts, smp};
use protocol::exit::ExitCode;
use test_kernels::Barrier;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[("panics_on_the_last_cpu", panics_on_the_last_cpu)],
    )
}

fn panics_on_the_last_cpu(_: &'static Machine) {
    let last = cpu::online().last().expect("the BSP is online");
    let start = Barrier::for_all();
    let about_to_panic = AtomicBool::new(false);
    smp::run_on_each(&|me| {
        start.wait();
        if me == last {
            about_to_panic.store(true, Ordering::Relaxed);
            panic!("on purpose, on the last CPU");
        }
        // Only an NMI stops these. Whoever is left running after the panic's report says so.
        interrupts::without(|| {
            loop {
                for _ in 0..1_000 {
                    core::hint::spin_loop();
                }
                if about_to_panic.load(Ordering::Relaxed) {
                    kernel::log!("still running");
                }
            }
        });
    });
}
