//! Several CPUs wait for the same object at once, each in its own manner (S2, S6).
#![no_std]
#![no_main]

extern crate alloc;

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, smp};
use protocol::exit::ExitCode;
use rundown::{Rundown, Spin, Variant, WaitOutcome};
use test_kernels::Barrier;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            waiting_again_returns_at_once,
            a_halting_and_a_spinning_waiter,
            every_cpu_waits,
        ],
    )
}

fn waiting_again_returns_at_once<V: Variant>(new: fn() -> Rundown<V>) {
    let rundown = new();
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    assert!(rundown.complete().is_ok());
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    smp::run_on_each(&|_| assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained));
    assert!(rundown.is_drained());
}

/// The last CPU holds a protection, the first one halts and the one between them spins.
///
/// With two CPUs the holder's neighbour only halts, with one there is nobody to wait for.
fn a_halting_and_a_spinning_waiter<V: Variant>(new: fn() -> Rundown<V>) {
    const ROUNDS: usize = 20;
    let holder = cpu::count() - 1;
    let waiters = holder.min(2);
    let parties = waiters + 1;
    for round in 0..ROUNDS {
        let rundown = new();
        let held = Barrier::new(parties);
        let released = AtomicBool::new(false);
        let returned = AtomicUsize::new(0);
        smp::run_on_each(&|me| {
            if me.get() == holder {
                let guard = rundown.try_acquire();
                assert!(guard.is_some(), "refused although open");
                held.wait();
                // Lets go only when a waiter has closed, for no wait is under way before that.
                while waiters > 0 && rundown.try_acquire().is_some() {
                    core::hint::spin_loop();
                }
                assert_eq!(returned.load(Ordering::Relaxed), 0, "a wait ended early");
                released.store(true, Ordering::Relaxed);
                drop(guard);
            } else if me.get() < waiters {
                held.wait();
                let outcome = match me.get() {
                    0 => rundown.wait(&Halt),
                    _ => rundown.wait(&Spin),
                };
                assert_eq!(outcome, WaitOutcome::Drained);
                // What was done under protection happens-before the return of the wait.
                assert!(
                    released.load(Ordering::Relaxed),
                    "the wait ended early, round {round}"
                );
                returned.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(returned.load(Ordering::Relaxed), waiters);
        assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    }
}

/// Every CPU but the holder waits by `hlt`; one release must wake them all.
fn every_cpu_waits<V: Variant>(new: fn() -> Rundown<V>) {
    const ROUNDS: usize = 5;
    let holder = cpu::count() - 1;
    for round in 0..ROUNDS {
        let rundown = new();
        let held = Barrier::for_all();
        let released = AtomicBool::new(false);
        let closed = AtomicUsize::new(0);
        let returned = AtomicUsize::new(0);
        smp::run_on_each(&|me| {
            if me.get() == holder {
                let guard = rundown.try_acquire();
                held.wait();
                Halt.until(&mut || closed.load(Ordering::Acquire) == holder);
                released.store(true, Ordering::Relaxed);
                drop(guard);
            } else {
                held.wait();
                rundown.close();
                closed.fetch_add(1, Ordering::AcqRel);
                KernelPlatform::wake_all();
                assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
                assert!(
                    released.load(Ordering::Relaxed),
                    "the wait ended early, round {round}"
                );
                returned.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(returned.load(Ordering::Relaxed), holder);
        assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
        assert!(rundown.is_drained());
    }
}
