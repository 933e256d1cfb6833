//! Cancelling a drain (S10): the object opens again with what is held, waiters learn of it, and none hangs.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Barrier, Mutex};
use std::thread;

use rundown::{CloseOutcome, Park, Refused, Spin, State, WaitOutcome, WrongState};
use support::{Make, Random, Script, for_every_variant, wake_ups};

for_every_variant!(
    s10_a_cancelled_object_grants_again,
    s10_what_is_held_survives_and_counts_in_the_next_drain,
    s10_the_waiter_learns_it,
    s10_the_sleeping_waiter_learns_it,
    s10_a_waiter_learns_it_although_the_object_is_closed_again,
    s10_drained_after_all_counts_as_drained,
    s10_a_waiter_may_sleep_through_a_cancel_and_a_whole_life,
    s10_many_cancels_of_one_life,
    s10_cancel_wakes,
    s10_one_cancel_per_close,
    s10_cancel_against_the_last_release,
    s10_cancel_against_concurrent_closers,
);

fn s10_a_cancelled_object_grants_again<R: Make + ?Sized>() {
    let rundown = R::make();
    let first = rundown.try_acquire().expect("open");
    rundown.close();
    assert_eq!(rundown.acquire(), Err(Refused::Closed));
    assert_eq!(rundown.cancel(), Ok(None));
    assert_eq!(rundown.state(), State::Open);
    for cpu in 0..2 * R::slots() {
        R::on_cpu(cpu);
        assert!(rundown.try_acquire().is_some(), "refused on CPU {cpu}");
    }
    // S1 holds again, too.
    assert_eq!(rundown.close(), CloseOutcome::Closed);
    assert!(rundown.try_acquire().is_none());
    drop(first);
    assert!(rundown.is_drained());
}

fn s10_what_is_held_survives_and_counts_in_the_next_drain<R: Make + ?Sized>() {
    for released_on in 0..R::slots() {
        let rundown = R::make();
        R::on_cpu(0);
        let before = rundown.try_acquire_many(2).expect("open");
        rundown.close();
        rundown.cancel().expect("draining");
        R::on_cpu(1);
        let after = rundown.try_acquire().expect("open again");
        rundown.close();
        assert_eq!(rundown.racy_held(), 3);
        R::on_cpu(released_on);
        drop(after);
        assert!(!rundown.is_drained(), "forgot what the cancel carried over");
        drop(before);
        assert!(rundown.is_drained(), "counted it twice");
    }
}

fn s10_the_waiter_learns_it<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let script = Script::new(|| {
        rundown.cancel().expect("draining");
    });
    assert_eq!(rundown.wait(&script), WaitOutcome::Cancelled);
    assert!(script.played());
    assert_eq!(rundown.state(), State::Open);
    drop(guard);
    assert_eq!(rundown.state(), State::Open);
}

fn s10_the_sleeping_waiter_learns_it<R: Make + ?Sized>() {
    for _ in 0..50 {
        let rundown = R::make();
        let guard = rundown.try_acquire().expect("open");
        thread::scope(|scope| {
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    // Begun before the cancel, whenever the thread comes to it.
                    let mut drain = rundown.drain();
                    scope.spawn(move || drain.wait(&Park))
                })
                .collect();
            rundown.cancel().expect("draining");
            for waiter in waiters {
                let outcome = waiter.join().expect("no waiter fails");
                assert_eq!(outcome, WaitOutcome::Cancelled);
            }
        });
        drop(guard);
    }
}

fn s10_a_waiter_learns_it_although_the_object_is_closed_again<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let script = Script::new(|| {
        rundown.cancel().expect("draining");
        assert_eq!(rundown.close(), CloseOutcome::Closed);
        assert_eq!(rundown.state(), State::Draining);
    });
    assert_eq!(rundown.wait(&script), WaitOutcome::Cancelled);
    assert!(script.played());
    drop(guard);
    assert!(rundown.is_drained());
}

fn s10_drained_after_all_counts_as_drained<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let script = Script::new(|| {
        rundown.cancel().expect("draining");
        drop(guard);
        rundown.close();
        assert_eq!(rundown.state(), State::Drained);
    });
    // Its drain has ended.
    assert_eq!(rundown.wait(&script), WaitOutcome::Drained);
    assert!(script.played());
}

fn s10_a_waiter_may_sleep_through_a_cancel_and_a_whole_life<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let mut next = None;
    let script = Script::new(|| {
        rundown.cancel().expect("draining");
        rundown.close();
        drop(guard);
        assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
        rundown.reinit().expect("drained");
        next = rundown.try_acquire();
        rundown.close();
        // As many cancels as the waiter has seen, in another generation.
        rundown.cancel().expect("draining");
        rundown.close();
    });
    assert_eq!(rundown.wait(&script), WaitOutcome::Drained);
    assert!(script.played());
    drop(script);
    assert!(!rundown.is_drained());
    drop(next);
}

/// More often than plain's word can tell apart (2^6): nothing but the waiters' memory may
/// depend on that.
fn s10_many_cancels_of_one_life<R: Make + ?Sized>() {
    let rundown = R::make();
    let kept = rundown.try_acquire().expect("open");
    let mut carried = Vec::new();
    for cancel in 0..200_usize {
        R::on_cpu(cancel);
        carried.push(rundown.try_acquire().expect("open"));
        let mut drain = rundown.drain();
        assert_eq!(drain.poll(), None);
        R::on_cpu(cancel + 1);
        if cancel % 3 == 0 {
            carried.pop();
        }
        assert_eq!(rundown.racy_held(), carried.len() as i64 + 1);
        rundown.cancel().expect("draining");
        assert_eq!(drain.poll(), Some(WaitOutcome::Cancelled));
        assert_eq!(rundown.racy_held(), carried.len() as i64 + 1);
    }
    drop(carried);
    rundown.close();
    assert_eq!(rundown.racy_held(), 1);
    assert!(!rundown.is_drained());
    drop(kept);
    assert!(rundown.is_drained());
}

fn s10_cancel_wakes<R: Make + ?Sized>() {
    let rundown = R::make();
    let _guard = rundown.try_acquire().expect("open");
    rundown.close();
    let woken = wake_ups(|| {
        rundown.cancel().expect("draining");
    });
    assert_eq!(woken, [rundown.id()]);
    // One that is refused wakes nothing.
    let woken = wake_ups(|| assert!(rundown.cancel().is_err()));
    assert_eq!(woken, []);
}

/// Of many that cancel at the same time, one does; the others learn that the object is not draining.
fn s10_one_cancel_per_close<R: Make + ?Sized>() {
    let rundown = R::make();
    let _held = rundown.try_acquire().expect("open");
    for _ in 0..200 {
        rundown.close();
        let start = Barrier::new(3);
        let cancelled = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    match rundown.cancel() {
                        Ok(_) => {
                            cancelled.fetch_add(1, Relaxed);
                        }
                        Err(WrongState {
                            found: State::Open | State::Closing,
                        }) => {}
                        Err(other) => panic!("{other}"),
                    }
                });
            }
        });
        assert_eq!(cancelled.into_inner(), 1);
        assert_eq!(rundown.state(), State::Open);
        assert_eq!(rundown.racy_held(), 1);
    }
}

/// Cancelled or drained: one of the two, and the waiter learns which.
fn s10_cancel_against_the_last_release<R: Make + ?Sized>() {
    for round in 0..300 {
        let rundown = R::make();
        R::on_cpu(0);
        let guard = rundown.try_acquire().expect("open");
        let mut drain = rundown.drain();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            let start = &start;
            scope.spawn(move || {
                R::on_cpu(round % 2);
                start.wait();
                drop(guard);
            });
            let waiter = scope.spawn(move || drain.wait(&Park));
            start.wait();
            let cancelled = rundown.cancel();
            let outcome = waiter.join().expect("the waiter does not fail");
            match cancelled {
                Ok(_) => {
                    assert_eq!(outcome, WaitOutcome::Cancelled);
                    assert_eq!(rundown.state(), State::Open);
                }
                Err(WrongState { found }) => {
                    assert_eq!(found, State::Drained);
                    assert_eq!(outcome, WaitOutcome::Drained);
                    assert_eq!(rundown.state(), State::Drained);
                }
            }
        });
        rundown.close();
        assert!(rundown.is_drained());
    }
}

/// Users, waiters that close, and one that cancels, all at once: every wait returns, "drained" only
/// when nothing was held, and at the end nothing is lost or left over.
fn s10_cancel_against_concurrent_closers<R: Make + ?Sized>() {
    const WAITERS: usize = 2;
    /// The end: so many of both.
    const ENDED: usize = 30;
    let rundown = R::make();
    let (cancels, drains) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let waiting = AtomicUsize::new(WAITERS);
    let drawer = Mutex::new(Vec::new());
    let enough = || [&cancels, &drains].iter().all(|n| n.load(Relaxed) >= ENDED);
    thread::scope(|scope| {
        for user in 0..2 {
            let (rundown, drawer, waiting) = (&rundown, &drawer, &waiting);
            scope.spawn(move || {
                let mut random = Random::new(user + 1);
                while waiting.load(Relaxed) > 0 {
                    R::wander(&mut random);
                    let guard = rundown.try_acquire();
                    let refused = guard.is_none();
                    R::wander(&mut random);
                    // Some wait here for the other user to drop them, also while the object drains.
                    let mut drawer = drawer.lock().expect("no user fails");
                    drawer.extend(guard);
                    if drawer.len() > 8 || refused && random.below(4) == 0 {
                        drawer.clear();
                    }
                    drop(drawer);
                    if refused {
                        thread::yield_now();
                    }
                }
            });
        }
        for _ in 0..WAITERS {
            scope.spawn(|| {
                while !enough() {
                    if rundown.wait(&Park) == WaitOutcome::Drained {
                        drains.fetch_add(1, Relaxed);
                        // The other waiter may have re-opened it.
                        let _ = rundown.reinit();
                    }
                }
                waiting.fetch_sub(1, Relaxed);
            });
        }
        let mut random = Random::new(3);
        while waiting.load(Relaxed) > 0 {
            // Not always: some are to drain.
            if random.below(2) == 0 && rundown.cancel().is_ok() {
                cancels.fetch_add(1, Relaxed);
            }
            thread::yield_now();
        }
    });
    drop(drawer);
    rundown.close();
    assert!(rundown.is_drained());
    assert_eq!(rundown.racy_held(), 0);
}
