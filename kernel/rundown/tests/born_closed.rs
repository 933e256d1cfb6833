//! Objects that are born closed and opened later (S9).
#![cfg(not(rundown_loom))]

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rundown::{CloseOutcome, Misuse, Protected, Refused, Spin, State, WaitOutcome, WrongState};
use support::{Make, Script, for_every_variant, misuses};

for_every_variant!(
    s9_born_closed_refuses_until_it_is_opened,
    s9_born_closed_is_run_down,
    s9_opening_has_one_winner,
    s9_what_was_prepared_is_seen_by_the_first_user,
    s9_a_wait_for_the_unopened_object_is_over,
    s9_a_release_before_the_first_opening_is_found,
);

fn s9_born_closed_refuses_until_it_is_opened<R: Make + ?Sized>() {
    let rundown = R::make_closed();
    for cpu in 0..R::slots() {
        R::on_cpu(cpu);
        assert_eq!(rundown.acquire(), Err(Refused::Closed));
        assert!(rundown.try_acquire_many(2).is_none());
    }
    rundown.open().expect("born closed");
    let guards: Vec<_> = (0..R::slots())
        .map(|cpu| {
            R::on_cpu(cpu);
            rundown.try_acquire().expect("open")
        })
        .collect();
    assert_eq!(rundown.racy_held(), guards.len() as i64);
    rundown.close();
    assert!(!rundown.is_drained());
    drop(guards);
    assert!(rundown.is_drained());
}

fn s9_born_closed_is_run_down<R: Make + ?Sized>() {
    let rundown = R::make_closed();
    assert_eq!(rundown.state(), State::RunDown);
    assert!(rundown.is_drained());
    assert_eq!(rundown.racy_held(), 0);
    assert_eq!(rundown.close(), CloseOutcome::AlreadyClosed);
    assert_eq!(rundown.try_wait(), Ok(()));
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    assert_eq!(rundown.complete(), Ok(()));
    let found = State::RunDown;
    assert_eq!(rundown.cancel(), Err(WrongState { found }));
    assert_eq!(rundown.state(), State::RunDown);
    // The general word for opening works, too.
    rundown.reinit().expect("drained");
    let found = State::Open;
    assert_eq!(rundown.open(), Err(WrongState { found }));
}

fn s9_opening_has_one_winner<R: Make + ?Sized>() {
    for _ in 0..100 {
        let rundown = R::make_closed();
        let start = Barrier::new(3);
        let won = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    won.fetch_add(usize::from(rundown.open().is_ok()), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
        assert_eq!(rundown.state(), State::Open);
    }
}

fn s9_what_was_prepared_is_seen_by_the_first_user<R: Make + ?Sized>() {
    for round in 1..200 {
        let rundown = R::make_closed();
        let prepared = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                R::on_cpu(round % R::slots());
                loop {
                    if let Some(_guard) = rundown.try_acquire() {
                        // Relaxed: only the grant orders it.
                        assert_eq!(prepared.load(Ordering::Relaxed), round);
                        return;
                    }
                    thread::yield_now();
                }
            });
            prepared.store(round, Ordering::Relaxed);
            rundown.open().expect("born closed");
        });
    }
}

fn s9_a_wait_for_the_unopened_object_is_over<R: Make + ?Sized>() {
    let rundown = R::make_closed();
    let mut drain = rundown.drain();
    rundown.open().expect("born closed");
    let guard = rundown.try_acquire();
    // It asked for the end of the time before.
    assert_eq!(drain.poll(), Some(WaitOutcome::Drained));
    assert_eq!(rundown.state(), State::Open);
    let script = Script::new(|| drop(guard));
    assert_eq!(rundown.wait(&script), WaitOutcome::Drained);
    assert!(script.played());
}

/// It is reported by the first opening, which goes on; the plain variant reports it at once.
fn s9_a_release_before_the_first_opening_is_found<R: Make + ?Sized>() {
    for released in [1, 3] {
        let rundown = R::make_closed();
        let found = misuses(|| {
            // SAFETY: nothing is held: this is the misuse. The object guards nothing.
            unsafe { rundown.release_many(released) };
            rundown.open().expect("run down");
        });
        let stray = Misuse::OverRelease {
            object: rundown.id(),
            held: 0,
            released: released.into(),
        };
        assert_eq!(found, [stray]);
        assert_eq!((rundown.state(), rundown.racy_held()), (State::Open, 0));
    }
}

#[test]
fn s9_vacant_objects_are_closed_whatever_the_rundown_is() {
    for rundown in [support::Boxed::make_closed(), support::Boxed::make()] {
        let vacant = Protected::<u32, _>::vacant(*rundown);
        assert!(vacant.try_acquire().is_none());
        vacant.publish(1).expect("vacant");
    }
}
