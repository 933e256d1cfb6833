//! Protections released on another CPU than the one that took them (S4), also many at once (S7).

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{cpu, ipi, smp};
use rundown::{Protected, Rundown, Variant, WaitOutcome};
use spin::Mutex;
use test_kernels::{Barrier, Device, PerCpu, Tracked, next, rounds, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each {
            all_are_released_next_door_after_the_close,
            protections_wander_while_the_owner_tears_down,
            portions_race_with_the_close,
        }
    }
}

/// Every CPU takes guards and leaves them on its shelf; then the object closes; then every CPU
/// clears its neighbour's shelf. The wait must outlast them all.
fn all_are_released_next_door_after_the_close<V: Variant>(new: fn() -> Rundown<V>) {
    const GUARDS: usize = 10;
    let object = Protected::new(new(), Tracked::new(2));
    let shelves = PerCpu::new(|| Mutex::new(Vec::new()));
    let out = AtomicUsize::new(0);
    let shelved = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        for _ in 0..GUARDS {
            let guard = object.try_acquire().expect("refused although open");
            shelves[me].lock().push(guard);
            out.fetch_add(1, Ordering::Relaxed);
        }
        shelved.wait();
        if me == owner {
            object.close();
        }
        shelved.wait();
        let guards = core::mem::take(&mut *shelves[next(me)].lock());
        assert_eq!(guards.len(), GUARDS);
        for guard in guards {
            assert_eq!(guard.touch(), 2);
            assert!(!object.is_drained(), "drained while a guard is in hand");
            out.fetch_sub(1, Ordering::Relaxed);
            drop(guard);
        }
        if me == owner {
            assert!(object.run_down(&Halt).is_ok());
            assert_eq!(out.load(Ordering::Relaxed), 0, "the wait ended early");
        }
    });
}

/// The owner tears the device down again and again; the others take protection for the next CPU to release.
fn protections_wander_while_the_owner_tears_down<V: Variant>(new: fn() -> Rundown<V>) {
    const TEARDOWNS: u64 = 20;
    let device = Device::new(new());
    let torn_down = AtomicU64::new(0);
    let owner = cpu::current();
    // Whether it was granted.
    let step = |me: CpuIndex| {
        let granted = device.fill_pocket(next(me));
        device.empty_pocket(me);
        granted
    };
    // The neighbour may look into its pocket for the last time before this CPU puts something in, so whoever is refused
    // wakes the next before it halts.
    let wake_next = |me: CpuIndex| {
        if next(me) != me {
            ipi::wake(next(me));
        }
    };
    smp::run_on_each(&|me| {
        if me == owner {
            for teardown in 1..=TEARDOWNS {
                assert!(step(me), "refused although open");
                device.rundown.close();
                wake_next(me);
                device.drain(&[me]);
                device.tear_down(|| {});
                torn_down.store(teardown, Ordering::Release);
                KernelPlatform::wake_all();
            }
            return;
        }
        loop {
            let seen = torn_down.load(Ordering::Acquire);
            if seen == TEARDOWNS {
                break;
            }
            if !step(me) {
                wake_next(me);
                Halt.until(&mut || {
                    device.empty_pocket(me);
                    torn_down.load(Ordering::Acquire) != seen
                });
            }
        }
    });
    cpu::online().for_each(|cpu| device.empty_pocket(cpu));
    assert_eq!(device.rundown.try_wait(), Ok(()));
}

/// Every CPU takes and releases portions of all sizes until it is refused, while the BSP closes: what
/// was granted was granted in full, and the wait sees the end of all of it.
fn portions_race_with_the_close<V: Variant>(new: fn() -> Rundown<V>) {
    for _ in 0..rounds(10) {
        let rundown = new();
        let in_use = AtomicUsize::new(0);
        let start = Barrier::for_all();
        smp::run_on_each(&|me| {
            start.wait();
            for portion in 1.. {
                let Some(mut guards) = rundown.try_acquire_many(portion) else {
                    break;
                };
                in_use.fetch_add(portion as usize, Ordering::Relaxed);
                assert!(!rundown.is_drained(), "drained while in use");
                let half = guards.split_off(portion / 2);
                in_use.fetch_sub(half.count() as usize, Ordering::Relaxed);
                drop(half);
                in_use.fetch_sub(guards.count() as usize, Ordering::Relaxed);
                drop(guards);
                if me.get() == 0 && portion == 20 {
                    rundown.close();
                }
            }
            assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
            assert_eq!(in_use.load(Ordering::Relaxed), 0, "the wait ended early");
        });
    }
}
