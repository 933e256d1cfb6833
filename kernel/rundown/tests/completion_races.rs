//! A completion against everything that may happen at the same time (S13): it runs once, or comes back once.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rundown::{CloseThenError, Park, Spin, State, WaitOutcome};
use support::{Counted, Make, Random, for_every_variant};

for_every_variant!(
    s13_against_releases_on_all_cpus,
    s13_against_a_cancel_and_the_last_release,
    s13_of_two_one_is_left,
    s13_a_whole_life_of_races,
);

fn s13_against_releases_on_all_cpus<R: Make + ?Sized>() {
    for round in 0..200 {
        let rundown = R::make();
        let counted = Counted::new();
        let mut guards = rundown.try_acquire_many(2).expect("open");
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for user in 0..2 {
                let (start, guard) = (&start, guards.take_one());
                scope.spawn(move || {
                    R::on_cpu(round + user);
                    start.wait();
                    drop(guard);
                });
            }
            start.wait();
            assert_eq!(rundown.close_then(&counted.completion), Ok(()));
            assert_eq!(rundown.wait(&Park), WaitOutcome::Drained);
        });
        // The releaser runs it after it has let the waiter go, but before its own return.
        assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
    }
}

fn s13_against_a_cancel_and_the_last_release<R: Make + ?Sized>() {
    for round in 0..200 {
        let rundown = R::make();
        let counted = Counted::new();
        let guard = rundown.try_acquire().expect("open");
        let start = Barrier::new(3);
        let given_back = thread::scope(|scope| {
            let start = &start;
            scope.spawn(move || {
                R::on_cpu(round);
                start.wait();
                drop(guard);
            });
            let canceller = scope.spawn(|| {
                start.wait();
                match rundown.cancel() {
                    Ok(given_back) => given_back.is_some_and(|it| counted.is(Some(it))),
                    Err(_) => false,
                }
            });
            start.wait();
            assert_eq!(rundown.close_then(&counted.completion), Ok(()));
            canceller.join().expect("it does not fail")
        });
        assert_eq!(counted.runs(), usize::from(!given_back));
        let state = if given_back {
            State::Open
        } else {
            State::Drained
        };
        assert_eq!((rundown.state(), rundown.racy_held()), (state, 0));
    }
}

fn s13_of_two_one_is_left<R: Make + ?Sized>() {
    for round in 0..200 {
        let rundown = R::make();
        let both = [Counted::new(), Counted::new()];
        let guard = rundown.try_acquire().expect("open");
        let start = Barrier::new(2);
        let left: Vec<_> = thread::scope(|scope| {
            let callers = both.map(|counted| {
                let (rundown, start) = (&rundown, &start);
                scope.spawn(move || {
                    start.wait();
                    rundown.close_then(&counted.completion)
                })
            });
            callers
                .map(|caller| caller.join().expect("it does not fail"))
                .into()
        });
        let losers = left.iter().filter_map(|left| left.err());
        let losers: Vec<_> = losers.collect();
        assert_eq!(losers, [CloseThenError::Occupied]);
        R::on_cpu(round);
        drop(guard);
        for (counted, left) in both.iter().zip(left) {
            assert_eq!(counted.runs(), usize::from(left.is_ok()));
        }
    }
}

/// Owners that close with a completion of their own, cancel, wait and re-open, while users come and go:
/// each completion that was left has run once or come back once, and nothing is lost.
fn s13_a_whole_life_of_races<R: Make + ?Sized>() {
    const OWNERS: usize = 2;
    const EACH: usize = 150;
    let rundown = R::make();
    let counted: Vec<_> = (0..OWNERS).map(|_| Counted::new()).collect();
    let working = AtomicUsize::new(OWNERS);
    let (left, back) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (rundown, working, left, back) = (&rundown, &working, &left, &back);
        for (owner, own) in counted.iter().enumerate() {
            scope.spawn(move || {
                let mut random = Random::new(owner as u64 + 7);
                for _ in 0..EACH {
                    if rundown.close_then(&own.completion).is_ok() {
                        left.fetch_add(1, Ordering::Relaxed);
                    }
                    match random.below(3) {
                        0 => {
                            if let Ok(Some(_)) = rundown.cancel() {
                                back.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        1 => {
                            let _ = rundown.wait(&Park);
                            let _ = rundown.reinit();
                        }
                        _ => {
                            let _ = rundown.reinit();
                        }
                    }
                }
                working.fetch_sub(1, Ordering::Relaxed);
            });
        }
        for user in 0..2 {
            scope.spawn(move || {
                let mut random = Random::new(user + 1);
                while working.load(Ordering::Relaxed) > 0 {
                    R::wander(&mut random);
                    if let Some(guard) = rundown.try_acquire() {
                        let clone = guard.clone();
                        drop(guard);
                        R::wander(&mut random);
                        drop(clone);
                    } else {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    // The last one may have found nothing to close.
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    let runs: usize = counted.iter().map(|counted| counted.runs()).sum();
    assert_eq!(runs + back.into_inner(), left.into_inner());
    assert_eq!(rundown.racy_held(), 0);
}
