//! Rundown protection on real CPUs: refusals, exact waits, memory that may go when the wait is over.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{cpu, smp};
use rundown::{Protected, Rundown, Variant, WaitOutcome};
use test_kernels::{Barrier, Tracked, rounds, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each {
            open_grants_and_closed_refuses_on_every_cpu,
            once_refused_anywhere_refused_everywhere,
            wait_is_over_with_the_last_release,
            the_owner_may_free_after_the_wait,
        }
    }
}

fn open_grants_and_closed_refuses_on_every_cpu<V: Variant>(new: fn() -> Rundown<V>) {
    let rundown = new();
    smp::run_on_each(&|_| {
        for _ in 0..100 {
            let guard = rundown.try_acquire();
            assert!(guard.is_some(), "refused although open");
        }
    });
    assert!(!rundown.is_drained(), "drained although open");
    rundown.close();
    assert!(rundown.is_drained(), "not drained although not held");
    smp::run_on_each(&|_| {
        assert!(rundown.try_acquire().is_none(), "granted although closed");
    });
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
}

/// S1: a CPU that knows of a refusal, its own or another's, is refused.
fn once_refused_anywhere_refused_everywhere<V: Variant>(new: fn() -> Rundown<V>) {
    for _ in 0..rounds(20) {
        let rundown = new();
        let start = Barrier::for_all();
        let refused = AtomicBool::new(false);
        let closer = cpu::online().last().expect("the BSP is online");
        smp::run_on_each(&|me| {
            start.wait();
            if me == closer {
                rundown.close();
                assert!(rundown.try_acquire().is_none(), "granted to the closer");
                refused.store(true, Ordering::Release);
                return;
            }
            loop {
                let known = refused.load(Ordering::Acquire);
                let granted = rundown.try_acquire().is_some();
                assert!(!(known && granted), "granted after a refusal");
                if !granted {
                    refused.store(true, Ordering::Release);
                    break;
                }
                core::hint::spin_loop();
            }
        });
        assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    }
}

/// S2: with a protection out on every CPU, the wait ends neither before nor after the last release.
fn wait_is_over_with_the_last_release<V: Variant>(new: fn() -> Rundown<V>) {
    let rundown = new();
    let all_hold = Barrier::for_all();
    let closed = Barrier::for_all();
    let turn = AtomicUsize::new(0);
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        let guard = rundown.try_acquire();
        assert!(guard.is_some(), "refused although open");
        all_hold.wait();
        if me == owner {
            rundown.close();
        }
        closed.wait();
        // One after the other, the owner last.
        let my_turn = (me.get() + cpu::count() - 1) % cpu::count();
        Halt.until(&mut || turn.load(Ordering::Acquire) == my_turn);
        assert!(!rundown.is_drained(), "drained while this CPU holds a protection");
        drop(guard);
        turn.store(my_turn + 1, Ordering::Release);
        KernelPlatform::wake_all();
        if me == owner {
            assert!(rundown.is_drained(), "not drained after the last release");
            assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
        }
    });
}

/// S1 and S2: users on all CPUs, and an owner that frees the object as soon as the wait is over.
fn the_owner_may_free_after_the_wait<V: Variant>(new: fn() -> Rundown<V>) {
    let owner = cpu::current();
    for generation in 0..rounds(20).into() {
        let object = Protected::new(new(), Box::new(Tracked::new(generation)));
        let all_work = Barrier::for_all();
        smp::run_on_each(&|me| {
            let first = object.try_acquire();
            assert!(first.is_some(), "refused although open");
            all_work.wait();
            drop(first);
            if me == owner {
                let value = object.run_down(&Halt).expect("run down by nobody else");
                assert_eq!(value.touch(), generation);
                drop(value);
                // Most likely takes the memory just freed.
                drop(Box::new([u64::MAX; 4]));
            } else {
                while let Some(guard) = object.try_acquire() {
                    assert_eq!(guard.touch(), generation);
                    core::hint::spin_loop();
                }
                assert!(object.try_acquire().is_none(), "granted after a refusal");
            }
        });
    }
}
