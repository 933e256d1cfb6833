//! The life cycle again and again, with users on all CPUs: open, draining, run down, open (S8).

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{cpu, smp};
use rundown::{PerCpuRundown, Protected, Rundown, State, Variant};
use test_kernels::{Barrier, PerCpu, Tracked, rounds, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each {
            every_cpu_sees_every_generation,
            users_race_with_reinit,
        }
        once {
            one_cpu_opens,
        }
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
            assert!(object.try_acquire().is_none(), "granted although there is no value");
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
    let generations = u64::from(rounds(30));
    let object = Protected::new(new(), Tracked::new(0));
    let published = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let grants = PerCpu::new(|| AtomicUsize::new(0));
    let started = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        started.wait();
        if me == owner {
            for generation in 1..=generations {
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
                assert!(generation >= newest, "generation {generation} after {newest}");
                newest = generation;
                grants[me].fetch_add(1, Ordering::Relaxed);
                core::hint::spin_loop();
            } else {
                assert!(!last_round, "refused although the last value is never taken away");
                Halt.until(&mut || published.load(Ordering::Acquire) != known);
            }
            if last_round {
                break;
            }
        }
        assert_eq!(newest, generations, "the last value was never seen");
    });
    let users = cpu::online().filter(|&user| user != owner);
    for user in users {
        assert!(grants[user].load(Ordering::Relaxed) > 0, "{user} was never granted");
    }
}

/// All CPUs try to open it at once, which allocates its counter: one succeeds, all are granted protection then.
fn one_cpu_opens() {
    for _ in 0..20 {
        let rundown = PerCpuRundown::<KernelPlatform>::lazy();
        let opened = AtomicUsize::new(0);
        let start = Barrier::for_all();
        let tried = Barrier::for_all();
        smp::run_on_each(&|_| {
            start.wait();
            match rundown.open() {
                Ok(_) => {
                    opened.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let found = error.found;
                    assert!(matches!(found, State::Open | State::Claimed), "{found}");
                }
            }
            tried.wait();
            assert!(rundown.try_acquire().is_some(), "refused although open");
        });
        assert_eq!(opened.into_inner(), 1);
    }
}
