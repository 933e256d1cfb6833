//! What all CPUs share and lock: the heap and the serial port.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::platform::Halt;
use kernel::{Machine, cpu, smp, timer};
use protocol::exit::ExitCode;
use test_kernels::{Barrier, PerCpu};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[
            ("no_memory_is_given_out_twice", no_memory_is_given_out_twice),
            ("freed_memory_comes_back", freed_memory_comes_back),
            ("log_lines_stay_whole", log_lines_stay_whole),
            (
                "log_lines_stay_whole_among_interrupts",
                log_lines_stay_whole_among_interrupts,
            ),
        ],
    )
}

/// Every CPU fills blocks of many sizes with its own number and finds them unchanged.
fn no_memory_is_given_out_twice(_: &'static Machine) {
    let all_filled = Barrier::for_all();
    smp::run_on_each(&|me| {
        let blocks: Vec<Vec<usize>> = (1..40)
            .map(|size| alloc::vec![me.get() << 16 | size; size])
            .collect();
        all_filled.wait();
        for block in &blocks {
            assert!(
                block
                    .iter()
                    .all(|&word| word == me.get() << 16 | block.len())
            );
        }
    });
}

/// More than there is memory, if nothing came back: 1 GiB in pieces of 64 KiB, from a heap of 64 MiB.
fn freed_memory_comes_back(_: &'static Machine) {
    let pieces = 16 * 1024 / cpu::count();
    smp::run_on_each(&|_| {
        for _ in 0..pieces {
            let piece: Vec<u8> = Vec::with_capacity(64 << 10);
            core::hint::black_box(&piece);
        }
    });
}

/// The host checks that each of these lines is there, once and whole.
fn log_lines_stay_whole(_: &'static Machine) {
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        start.wait();
        for number in 0..5 {
            kernel::log!(
                "thread line {number} of cpu {} abcdefghijklmnopqrstuvwxyz",
                me.get()
            );
        }
    });
}

/// The same with a second writer on every CPU, which interrupts the first.
fn log_lines_stay_whole_among_interrupts(_: &'static Machine) {
    let ticks: &PerCpu<AtomicUsize> = Box::leak(Box::new(PerCpu::new(|| AtomicUsize::new(0))));
    test_kernels::set_on_tick(Box::leak(Box::new(|| {
        let me = cpu::current();
        let number = ticks[me].fetch_add(1, Ordering::Relaxed);
        if number < 3 {
            kernel::log!(
                "handler line {number} of cpu {} abcdefghijklmnopqrstuvwxyz",
                me.get()
            );
        }
    })));
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        for number in 5..10 {
            kernel::log!(
                "thread line {number} of cpu {} abcdefghijklmnopqrstuvwxyz",
                me.get()
            );
        }
        Halt.until(&mut || ticks[me].load(Ordering::Relaxed) >= 3);
        timer::stop();
    });
}
