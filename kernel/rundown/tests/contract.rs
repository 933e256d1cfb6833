//! The contract (S1 to S11 in the README), one table of tests over every variant: what every user and
//! owner relies on. `counts` has S7, `life_cycle` S8 and S9, `cancel` S10, `last_touch` S3.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::{Cell, RefCell};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rundown::{CloseOutcome, Park, RefGuard, Refused, Spin, State, WaitOutcome};
use support::{Make, Script, for_every_variant, on_cpu};

for_every_variant!(
    s1_after_close_every_cpu_is_refused,
    s1_after_a_refusal_every_cpu_is_refused,
    s2_wait_outlasts_every_reference,
    s2_wait_on_an_idle_object_returns_at_once,
    s2_no_wake_up_is_lost,
    s4_release_on_any_cpu_before_or_after_close,
    s5_protection_nests,
    s6_a_second_wait_returns,
    s6_all_concurrent_waiters_return,
    s6_a_late_waiter_survives_a_reinit,
    s8_many_lives,
    s11_any_hint_will_do,
);

fn s1_after_close_every_cpu_is_refused<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    assert_eq!(rundown.close(), CloseOutcome::Closed);
    for cpu in 0..2 * R::slots() {
        R::on_cpu(cpu);
        assert!(rundown.try_acquire().is_none(), "granted on CPU {cpu}");
        assert_eq!(rundown.acquire(), Err(Refused::Closed));
    }
    drop(guard);
    for cpu in 0..2 * R::slots() {
        R::on_cpu(cpu);
        assert!(rundown.try_acquire().is_none(), "granted on CPU {cpu}");
    }
}

fn s1_after_a_refusal_every_cpu_is_refused<R: Make + ?Sized>() {
    for _ in 0..300 {
        let rundown = R::make();
        let start = Barrier::new(3);
        let refused = AtomicBool::new(false);
        thread::scope(|scope| {
            for cpu in 0..2 {
                let (rundown, start, refused) = (&rundown, &start, &refused);
                scope.spawn(move || {
                    R::on_cpu(cpu);
                    start.wait();
                    loop {
                        let known = refused.load(Ordering::Acquire);
                        match rundown.try_acquire() {
                            Some(_guard) => assert!(!known, "granted after a refusal"),
                            None if known => return,
                            None => refused.store(true, Ordering::Release),
                        }
                    }
                });
            }
            start.wait();
            assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
        });
        assert!(rundown.is_drained());
    }
}

fn s2_wait_outlasts_every_reference<R: Make + ?Sized>() {
    let rundown = R::make();
    let guards: Vec<RefGuard<'_, R>> = (0..3)
        .map(|cpu| {
            R::on_cpu(cpu);
            rundown.try_acquire().expect("open")
        })
        .collect();
    let script = Script::new(|| {
        for guard in guards {
            assert_eq!(rundown.state(), State::Draining);
            assert!(!rundown.is_drained());
            drop(guard);
        }
    });
    assert_eq!(rundown.wait(&script), WaitOutcome::Drained);
    assert!(script.played());
    assert_eq!(rundown.state(), State::Drained);
    assert!(rundown.is_drained());
}

fn s2_wait_on_an_idle_object_returns_at_once<R: Make + ?Sized>() {
    let rundown = R::make();
    assert!(!rundown.is_drained());
    // As many releases as acquires, but never on the CPU of the acquire.
    for cpu in 0..R::slots() {
        R::on_cpu(cpu);
        let guard = rundown.try_acquire().expect("open");
        R::on_cpu(cpu + 1);
        drop(guard);
    }
    rundown.close();
    assert!(rundown.is_drained());
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
}

fn s2_no_wake_up_is_lost<R: Make + ?Sized>() {
    for round in 0..500 {
        let rundown = R::make();
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for cpu in 0..2 {
                let guard = rundown.try_acquire().expect("open");
                let start = &start;
                scope.spawn(move || {
                    R::on_cpu(cpu + round % 2);
                    start.wait();
                    drop(guard);
                });
            }
            start.wait();
            // Hangs if the wake-up is lost.
            assert_eq!(rundown.wait(&Park), WaitOutcome::Drained);
        });
        assert!(rundown.is_drained());
    }
}

fn s4_release_on_any_cpu_before_or_after_close<R: Make + ?Sized>() {
    for taken_on in 0..R::slots() {
        for dropped_on in 0..R::slots() {
            for close_first in [false, true] {
                let rundown = R::make();
                R::on_cpu(taken_on);
                let kept = rundown.try_acquire().expect("open");
                let moved = rundown.try_acquire().expect("open");
                if close_first {
                    rundown.close();
                }
                R::on_cpu(dropped_on);
                drop(moved);
                rundown.close();
                assert!(!rundown.is_drained(), "drained while a reference is held");
                drop(kept);
                assert!(rundown.is_drained(), "not drained by the last release");
            }
        }
    }
}

fn s5_protection_nests<R: Make + ?Sized>() {
    // As in an interrupt handler on top of a holder, also one that comes while the holder's object
    // drains.
    let rundown = R::make();
    let outer = rundown.try_acquire().expect("open");
    let inner = rundown
        .try_acquire()
        .expect("protection does not exclude protection");
    rundown.close();
    assert!(rundown.try_acquire().is_none());
    drop(outer);
    assert!(!rundown.is_drained());
    drop(inner);
    assert!(rundown.is_drained());
}

fn s6_a_second_wait_returns<R: Make + ?Sized>() {
    let rundown = R::make();
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    rundown.complete().expect("drained");
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    assert_eq!(rundown.state(), State::RunDown);
}

fn s6_all_concurrent_waiters_return<R: Make + ?Sized>() {
    for _ in 0..100 {
        let rundown = R::make();
        let guard = rundown.try_acquire().expect("open");
        let released = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    assert_eq!(rundown.wait(&Park), WaitOutcome::Drained);
                    assert!(released.load(Ordering::Relaxed), "returned early");
                });
            }
            // Not before it has been closed, so that at least one of them has to wait.
            while rundown.state() == State::Open {
                thread::yield_now();
            }
            released.store(true, Ordering::Relaxed);
            drop(guard);
        });
    }
}

fn s6_a_late_waiter_survives_a_reinit<R: Make + ?Sized>() {
    let rundown = R::make();
    let next_life = Cell::new(None);
    let first = RefCell::new(rundown.try_acquire());
    let script = Script::new(|| {
        // This waiter sleeps on while the owner goes through a whole cycle and gives out protection
        // again.
        drop(first.take());
        assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
        rundown.reinit().expect("drained");
        next_life.set(rundown.try_acquire());
        rundown.close();
        assert_eq!(rundown.state(), State::Draining);
    });
    assert_eq!(rundown.wait(&script), WaitOutcome::Drained);
    assert!(script.played());
    assert!(
        !rundown.is_drained(),
        "the next generation still has a user"
    );
    drop(next_life);
    assert!(rundown.is_drained());
}

fn s8_many_lives<R: Make + ?Sized>() {
    let rundown = R::make();
    for life in 0..1000_usize {
        let guards: Vec<_> = (0..life % 5)
            .map(|cpu| {
                R::on_cpu(cpu);
                rundown.try_acquire().expect("open")
            })
            .collect();
        let early = guards.len() / 2;
        let mut guards = guards.into_iter();
        // Some are released before the close, some after, on other CPUs than they were taken on.
        for (cpu, guard) in guards.by_ref().take(early).enumerate() {
            R::on_cpu(cpu + 1);
            drop(guard);
        }
        rundown.close();
        for (cpu, guard) in guards.enumerate() {
            assert!(!rundown.is_drained());
            R::on_cpu(cpu + 2);
            drop(guard);
        }
        assert!(rundown.is_drained());
        if life % 2 == 0 {
            rundown.complete().expect("drained");
        }
        rundown.reinit().expect("drained");
        assert!(!rundown.is_drained());
    }
}

/// The per-CPU variant does not ask for it.
fn s11_any_hint_will_do<R: Make + ?Sized>() {
    let rundown = R::make();
    let hints = [
        0,
        R::slots() - 1,
        R::slots(),
        R::slots() + 1,
        1000,
        usize::MAX - 1,
        usize::MAX,
    ];
    for taken_on in hints {
        for dropped_on in hints {
            on_cpu(taken_on);
            let guard = rundown.try_acquire().expect("open");
            on_cpu(usize::MAX / 2);
            let other = rundown.try_acquire().expect("open");
            rundown.close();
            assert!(!rundown.is_drained());
            on_cpu(dropped_on);
            drop(guard);
            assert!(!rundown.is_drained());
            drop(other);
            assert!(rundown.is_drained());
            rundown.reinit().expect("drained");
        }
    }
}
