//! The life cycle again and again, with users on all CPUs: open, draining, run down, open (S8).
#![no_std]
#![no_main]

extern crate alloc;

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, smp};
use protocol::exit::ExitCode;
use rundown::{Protected, Rundown, Variant, WaitOutcome};
use test_kernels::{Barrier, PerCpu, Tracked};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            reinit_is_refused_until_drained,
            reinit_opens_for_every_cpu,
            every_cpu_sees_every_generation,
            users_race_with_reinit,
        ],
    )
}

fn reinit_is_refused_until_drained<V: Variant>(new: fn() -> Rundown<V>) {
    let rundown = new();
    assert!(rundown.reinit().is_err(), "re-initialised although open");
    assert!(rundown.complete().is_err(), "completed although open");
    let guard = rundown.try_acquire();
    assert!(guard.is_some(), "an illegal call closed it");
    rundown.close();
    assert!(rundown.reinit().is_err(), "re-initialised while draining");
    assert!(rundown.complete().is_err(), "completed while draining");
    assert!(rundown.try_acquire().is_none(), "an illegal call opened it");
    drop(guard);
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    assert!(rundown.complete().is_ok());
    assert!(rundown.complete().is_ok(), "completing twice is legal");
    assert!(rundown.reinit().is_ok());
    assert!(
        rundown.try_acquire().is_some(),
        "refused although open again"
    );
}

fn reinit_opens_for_every_cpu<V: Variant>(new: fn() -> Rundown<V>) {
    let rundown = new();
    for round in 0..10 {
        smp::run_on_each(&|_| {
            assert!(
                rundown.try_acquire().is_some(),
                "refused although open, round {round}"
            );
        });
        assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
        smp::run_on_each(&|_| {
            assert!(
                rundown.try_acquire().is_none(),
                "granted although closed, round {round}"
            );
        });
        // Completion is optional on the way to re-initialisation.
        if round % 2 == 0 {
            assert!(rundown.complete().is_ok());
        }
        assert!(rundown.reinit().is_ok());
    }
}

/// In step: a value is published, every CPU uses exactly that one, then it is taken away.
fn every_cpu_sees_every_generation<V: Variant>(new: fn() -> Rundown<V>) {
    const GENERATIONS: u64 = 10;
    let object = Protected::new(new(), Tracked::new(0));
    let step = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        for generation in 0..GENERATIONS {
            let guard = object.try_acquire().expect("refused although open");
            assert_eq!(guard.touch(), generation);
            drop(guard);
            step.wait();
            if me == owner {
                let old = object.run_down(&Halt).expect("run down by nobody else");
                assert_eq!(old.touch(), generation);
            }
            step.wait();
            assert!(
                object.try_acquire().is_none(),
                "granted although there is no value"
            );
            step.wait();
            if me == owner {
                assert!(object.publish(Tracked::new(generation + 1)).is_ok());
            }
            step.wait();
        }
    });
}

/// Out of step: users never see a dead value, nor a generation older than one they know of.
fn users_race_with_reinit<V: Variant>(new: fn() -> Rundown<V>) {
    const GENERATIONS: u64 = 30;
    let object = Protected::new(new(), Tracked::new(0));
    let published = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let grants = PerCpu::new(|| AtomicUsize::new(0));
    let started = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        started.wait();
        if me == owner {
            for generation in 1..=GENERATIONS {
                drop(object.run_down(&Halt).expect("run down by nobody else"));
                assert!(object.publish(Tracked::new(generation)).is_ok());
                published.store(generation, Ordering::Release);
                KernelPlatform::wake_all();
            }
            over.store(true, Ordering::Release);
            KernelPlatform::wake_all();
            return;
        }
        let mut newest = 0;
        loop {
            let last_round = over.load(Ordering::Acquire);
            let known = published.load(Ordering::Acquire);
            if let Some(guard) = object.try_acquire() {
                let generation = guard.touch();
                assert!(generation >= known, "generation {generation} after {known}");
                assert!(
                    generation >= newest,
                    "generation {generation} after {newest}"
                );
                newest = generation;
                grants[me].fetch_add(1, Ordering::Relaxed);
            } else {
                assert!(
                    !last_round,
                    "refused although the last value is never taken away"
                );
                Halt.until(&mut || published.load(Ordering::Acquire) != known);
            }
            if last_round {
                break;
            }
        }
        assert_eq!(newest, GENERATIONS, "the last value was never seen");
    });
    let users = cpu::online().filter(|&user| user != owner);
    for user in users {
        assert!(
            grants[user].load(Ordering::Relaxed) > 0,
            "{user} was never granted"
        );
    }
}
