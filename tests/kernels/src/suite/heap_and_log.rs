//! The parts that all CPUs share and lock: the heap and the serial port.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kernel::platform::Halt;
use kernel::serial::Port;
use kernel::testing::Test;
use kernel::{cpu, smp, timer};
use test_kernels::{Barrier, EachCpu, leaked, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            no_memory_is_given_out_twice,
            freed_memory_comes_back,
            a_port_that_stands_still_is_given_up,
            log_lines_stay_whole_among_interrupts,
        }
    }
}

/// Every CPU fills blocks of many sizes with its own number and finds them unchanged.
fn no_memory_is_given_out_twice() {
    let all_filled = Barrier::for_all();
    smp::run_on_each(&|me| {
        let blocks: Vec<Vec<usize>> =
            (1..40).map(|size| alloc::vec![me.get() << 16 | size; size]).collect();
        all_filled.wait();
        for block in &blocks {
            assert!(block.iter().all(|&word| word == me.get() << 16 | block.len()));
        }
    });
}

/// More than all memory, if nothing came back: 1 GiB in pieces of 64 KiB, from a heap of 64 MiB.
fn freed_memory_comes_back() {
    let pieces = 16 * 1024 / cpu::count();
    smp::run_on_each(&|_| {
        for _ in 0..pieces {
            let piece: Vec<u8> = Vec::with_capacity(64 << 10);
            core::hint::black_box(&piece);
        }
    });
}

/// One that only pauses is waited for.
fn a_port_that_stands_still_is_given_up() {
    let lost = AtomicU64::new(0);
    let refusals = Cell::new(0);
    let asked = Cell::new(0);
    let sent = RefCell::new(Vec::new());
    let port = || {
        let send = |bytes: &[u8]| {
            asked.set(asked.get() + 1);
            if refusals.get() > 0 {
                refusals.set(refusals.get() - 1);
                return 0;
            }
            let taken = bytes.len().min(4);
            sent.borrow_mut().extend_from_slice(&bytes[..taken]);
            taken
        };
        Port::at_line(send, &lost, 3)
    };
    let write = |text: &str| port().write_str(text).expect("never fails");
    refusals.set(2);
    write("whole,");
    assert_eq!((lost.load(Ordering::Relaxed), asked.get()), (0, 4));
    refusals.set(u32::MAX);
    write("lost");
    assert_eq!((lost.load(Ordering::Relaxed), asked.get()), (4, 7));
    // The start of a line asks once.
    write("as well");
    assert_eq!((lost.load(Ordering::Relaxed), asked.get()), (11, 8));
    refusals.set(0);
    write("and back");
    assert_eq!(
        str::from_utf8(&sent.borrow()),
        Ok("whole,\nserial port: 11 bytes were lost here\nand back")
    );
}

/// CPUs write lines, also in interrupts of their own. The host finds each of them, once and whole.
fn log_lines_stay_whole_among_interrupts() {
    let ticks: &EachCpu<AtomicUsize> = leaked(EachCpu::new(|| AtomicUsize::new(0)));
    test_kernels::set_on_tick(leaked(|| {
        let me = cpu::current();
        let number = ticks[me].fetch_add(1, Ordering::Relaxed);
        if number < 3 {
            kernel::log!("handler line {number} of cpu {} abcdefghijklmnopqrstuvwxyz", me.get());
        }
    }));
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        start.wait();
        test_kernels::start_ticking();
        for number in 0..10 {
            kernel::log!("thread line {number} of cpu {} abcdefghijklmnopqrstuvwxyz", me.get());
        }
        Halt.until(&mut || ticks[me].load(Ordering::Relaxed) >= 3);
        timer::stop();
    });
}
