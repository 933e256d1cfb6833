//! The life cycle (S8): every call in every state.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rundown::{
    CloseOutcome, Generation, Outstanding, Park, Refused, Rundown, Spin, State, Variant,
    WaitOutcome, WrongState,
};
use support::{Make, STATES, brought_to, for_every_variant};

for_every_variant!(
    s8_every_call_in_every_state,
    s8_a_claim_has_one_winner,
    s8_a_claim_in_progress_is_waited_for,
    s8_a_late_drain_leaves_the_next_generation_alone,
);

/// What any of the calls may answer.
#[derive(Debug, PartialEq)]
enum Answer {
    Close(CloseOutcome),
    Step(Result<(), WrongState>),
    Grant(Result<(), Refused>),
    Wait(Result<(), Outstanding>),
    Poll(Option<WaitOutcome>),
}

/// One row of the table: a call, and for each of [`STATES`] what it answers and which state it
/// leaves.
struct Row<R: Variant + ?Sized> {
    name: &'static str,
    call: fn(&Rundown<R>) -> Answer,
    expected: [(Answer, State); 4],
}

fn row<R: Variant + ?Sized>(
    name: &'static str,
    call: fn(&Rundown<R>) -> Answer,
    expected: [(Answer, State); 4],
) -> Row<R> {
    Row {
        name,
        call,
        expected,
    }
}

fn s8_every_call_in_every_state<R: Make + ?Sized>() {
    use Answer::{Close, Grant, Poll, Step};
    use State::{Drained, Draining, Open, RunDown};
    let wrong = |found| Step(Err(WrongState { found }));
    let done = || Step(Ok(()));
    let refused = |state| (Grant(Err(Refused::Closed)), state);
    let was_closed = |state| (Close(CloseOutcome::AlreadyClosed), state);
    // The object's id and the count are looked at below.
    let over = |state| (Poll(Some(WaitOutcome::Drained)), state);

    let table: [Row<R>; 9] = [
        row(
            "close",
            |r| Close(r.close()),
            [
                (Close(CloseOutcome::Closed), Draining),
                was_closed(Draining),
                was_closed(Drained),
                was_closed(RunDown),
            ],
        ),
        row(
            "drain",
            |r| Poll(r.drain().poll()),
            [
                (Poll(None), Draining),
                (Poll(None), Draining),
                over(Drained),
                over(RunDown),
            ],
        ),
        row(
            "cancel",
            |r| Step(r.cancel().map(|_| ())),
            [
                (wrong(Open), Open),
                (done(), Open),
                (wrong(Drained), Drained),
                (wrong(RunDown), RunDown),
            ],
        ),
        row(
            "complete",
            |r| Step(r.complete()),
            [
                (wrong(Open), Open),
                (wrong(Draining), Draining),
                (done(), RunDown),
                (done(), RunDown),
            ],
        ),
        row(
            "reinit",
            |r| Step(r.reinit().map(drop)),
            [
                (wrong(Open), Open),
                (wrong(Draining), Draining),
                (done(), Open),
                (done(), Open),
            ],
        ),
        row(
            "open",
            |r| Step(r.open().map(drop)),
            [
                (wrong(Open), Open),
                (wrong(Draining), Draining),
                (wrong(Drained), Drained),
                (done(), Open),
            ],
        ),
        row(
            "acquire",
            |r| {
                let granted = r.acquire();
                if granted.is_ok() {
                    // SAFETY: just acquired.
                    unsafe { r.release() };
                }
                Grant(granted)
            },
            [
                (Grant(Ok(())), Open),
                refused(Draining),
                refused(Drained),
                refused(RunDown),
            ],
        ),
        row(
            "acquire_many(0)",
            |r| Grant(r.acquire_many(0)),
            [
                (Grant(Ok(())), Open),
                refused(Draining),
                refused(Drained),
                refused(RunDown),
            ],
        ),
        row(
            "try_wait",
            |r| {
                Answer::Wait(r.try_wait().inspect_err(|outstanding| {
                    assert_eq!(outstanding.object, r.id());
                }))
            },
            [
                (Answer::Wait(Ok(())), Draining),
                (Answer::Wait(Ok(())), Draining),
                (Answer::Wait(Ok(())), Drained),
                (Answer::Wait(Ok(())), RunDown),
            ],
        ),
    ];
    for row in table {
        for (state, (answer, after)) in STATES.into_iter().zip(row.expected) {
            let context = format!("{} while {state}", row.name);
            let rundown = R::make();
            let guard = brought_to(&*rundown, state);
            let held = i64::from(guard.is_some());
            assert_eq!(rundown.state(), state, "{context}");
            let found = (row.call)(&rundown);
            match found {
                // What is outstanding names the object, so the table cannot.
                Answer::Wait(Err(outstanding)) => {
                    assert_eq!((outstanding.state, outstanding.held), (Draining, 1));
                    assert_eq!(held, 1, "{context}");
                }
                Answer::Wait(Ok(())) => assert_eq!(held, 0, "{context}"),
                found => assert_eq!(found, answer, "{context}"),
            }
            assert_eq!(rundown.state(), after, "{context}");
            assert_eq!(rundown.racy_held(), held, "{context}");
            // The counts are what they were: it drains with its one reference, no sooner or later.
            rundown.close();
            assert_eq!(rundown.is_drained(), held == 0, "{context}");
            drop(guard);
            assert!(rundown.is_drained(), "{context}");
        }
    }
}

fn s8_a_late_drain_leaves_the_next_generation_alone<R: Make + ?Sized>() {
    let rundown = R::make_closed();
    let first = rundown.open().expect("born closed");
    assert_eq!(rundown.drain_of(first).wait(&Spin), WaitOutcome::Drained);
    assert_eq!(rundown.generation(), first, "nothing has opened it since");
    let second = rundown.reinit().expect("drained");
    assert_eq!(rundown.generation(), second);
    assert_ne!(first, second);
    assert_eq!(rundown.drain_of(first).wait(&Spin), WaitOutcome::Drained);
    assert_eq!(rundown.state(), State::Open, "it was closed");
    drop(rundown.drain_of(Generation(second.0)));
    assert_eq!(rundown.state(), State::Drained);
}

fn s8_a_claim_has_one_winner<R: Make + ?Sized>() {
    let rundown = R::make();
    for _ in 0..200 {
        rundown.close();
        let won = AtomicUsize::new(0);
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    match rundown.reinit() {
                        Ok(_) => {
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                        // Closing: seen between two looks, see `State`.
                        Err(WrongState {
                            found: State::Open | State::Claimed | State::Closing,
                        }) => {}
                        Err(other) => panic!("{other}"),
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1, "re-opened once");
        assert_eq!(rundown.state(), State::Open);
    }
}

/// A wait that meets a re-init comes after it: it closes the new generation. It must neither hang nor
/// return because of the generation before.
fn s8_a_claim_in_progress_is_waited_for<R: Make + ?Sized>() {
    let rundown = R::make();
    for _ in 0..200 {
        rundown.close();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                // The waiter may have come first: then there is nothing left to re-open, or there is.
                let _ = rundown.reinit();
            });
            start.wait();
            assert_eq!(rundown.wait(&Park), WaitOutcome::Drained);
        });
        // Either order of the two leaves one of these states, and a working object.
        match rundown.state() {
            State::Open => assert!(rundown.try_acquire().is_some()),
            State::Drained => assert!(rundown.try_acquire().is_none()),
            other => panic!("{other}"),
        }
    }
}
