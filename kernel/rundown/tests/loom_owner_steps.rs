//! Models: every two steps of owners against each other, on an object that guards nothing of its own. Each
//! step is one point in time: what both say, and where the object ends, is what they would have said one after
//! the other, in one of the two orders. Only that one may find the other at work, and be refused.
#![cfg(rundown_loom)]

mod models;

use std::sync::Arc as Plainly;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::Arc;
use loom::thread;
use models::{Counting, Make, Sleep, check, on_cpu};
use rundown::{CloseOutcome, CloseThenError, Rundown, State, WrongState};

#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Reinit,
    Complete,
    Close,
    CloseThen,
    Cancel,
    Wait,
}

use Step::{Cancel, Close, CloseThen, Complete, Open, Reinit, Wait};

const STEPS: [Step; 7] = [Open, Reinit, Complete, Close, CloseThen, Cancel, Wait];

/// With whether one protection is held, all the time.
const STARTS: [(State, bool); 5] = [
    (State::Open, false),
    (State::Open, true),
    (State::Draining, true),
    (State::Drained, false),
    (State::RunDown, false),
];

/// What a step says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Done,
    Refused,
    /// The other one was in the middle of its step.
    Busy,
}

/// What each step does alone.
fn alone(step: Step, (state, held): (State, bool)) -> (Said, State) {
    let closed = if held { State::Draining } else { State::Drained };
    match (step, state) {
        (Open, State::RunDown) => (Said::Done, State::Open),
        (Reinit, State::Drained | State::RunDown) => (Said::Done, State::Open),
        (Complete, State::Drained | State::RunDown) => (Said::Done, State::RunDown),
        (Close | CloseThen | Wait, State::Open) => (Said::Done, closed),
        // It is left with the object that drains.
        (CloseThen, State::Draining) => (Said::Done, closed),
        (Cancel, State::Draining) => (Said::Done, State::Open),
        (Wait, _) => (Said::Done, state),
        _ => (Said::Refused, state),
    }
}

/// What both say, and the end of it, one after the other.
fn in_order(start: (State, bool), steps: [Step; 2]) -> ([Said; 2], State) {
    let (first, state) = alone(steps[0], start);
    let (second, state) = alone(steps[1], (state, start.1));
    ([first, second], state)
}

fn wrong(error: WrongState) -> Said {
    match error.found {
        State::Closing | State::Claimed => Said::Busy,
        _ => Said::Refused,
    }
}

fn said<A>(answer: Result<A, WrongState>) -> Said {
    answer.map_or_else(wrong, |_| Said::Done)
}

fn made<R: Make>(step: Step, object: &Rundown<R>, left: &Left) -> Said {
    match step {
        Open => said(object.open()),
        Reinit => said(object.reinit()),
        Complete => said(object.complete()),
        Close => match object.close() {
            CloseOutcome::Closed => Said::Done,
            CloseOutcome::AlreadyClosed => Said::Refused,
            CloseOutcome::Superseded => Said::Busy,
            CloseOutcome::IllegalContext => unreachable!("legal everywhere"),
        },
        CloseThen => match left.completion.leave_with(object) {
            Ok(()) => {
                left.left.fetch_add(1, Relaxed);
                Said::Done
            }
            Err(CloseThenError::WrongState(error)) => wrong(error),
            Err(CloseThenError::Occupied) => Said::Busy,
            Err(other) => unreachable!("{other}"),
        },
        Cancel => {
            let answer = object.cancel();
            if let Ok(Some(_)) = answer {
                left.given_back.fetch_add(1, Relaxed);
            }
            said(answer)
        }
        Wait => {
            let _ = object.wait(&Sleep);
            Said::Done
        }
    }
}

/// A completion that both may leave, and what became of it. Not loom's atomics, so as not to order anything.
struct Left {
    completion: Plainly<Counting>,
    left: AtomicUsize,
    given_back: AtomicUsize,
}

fn both<R: Make>(start: (State, bool), steps: [Step; 2]) {
    let object = Arc::new(R::new());
    let left = Plainly::new(Left {
        completion: Counting::new(),
        left: AtomicUsize::new(0),
        given_back: AtomicUsize::new(0),
    });
    let (state, held) = start;
    if held {
        object.acquire().unwrap();
    }
    if state != State::Open {
        object.close();
    }
    if state == State::RunDown {
        object.complete().unwrap();
    }
    let other = {
        let (object, left) = (Arc::clone(&object), Plainly::clone(&left));
        thread::spawn(move || {
            on_cpu(1);
            made(steps[1], &object, &left)
        })
    };
    let first = made(steps[0], &object, &left);
    let answers = [first, other.join().unwrap()];
    let seen = (answers, object.state());
    assert!(possible(start, steps).contains(&seen), "{start:?}, {steps:?}: {seen:?}");
    assert_eq!(object.try_acquire().is_some(), seen.1 == State::Open);
    // Whatever came of it, the object counts right, and completions are accounted for.
    assert_eq!(object.racy_held(), i64::from(held));
    if held {
        // SAFETY: acquired above.
        unsafe { object.release() };
    }
    object.close();
    assert!(object.is_drained());
    let out = left.completion.runs() + left.given_back.load(Relaxed);
    assert_eq!(left.left.load(Relaxed), out);
    object.reinit().unwrap();
    let guard = object.try_acquire().unwrap();
    assert_eq!(object.racy_held(), 1);
    drop(guard);
}

/// One order, or the other, or one of them was refused because it found the other at work.
fn possible(start: (State, bool), [first, second]: [Step; 2]) -> [([Said; 2], State); 4] {
    let (said, state) = in_order(start, [second, first]);
    let swapped = ([said[1], said[0]], state);
    let (first_alone, after_first) = alone(first, start);
    let (second_alone, after_second) = alone(second, start);
    [
        in_order(start, [first, second]),
        swapped,
        ([first_alone, Said::Busy], after_first),
        ([Said::Busy, second_alone], after_second),
    ]
}

fn every_pair<R: Make>(bound: Option<usize>) {
    for start in STARTS {
        for first in STEPS {
            for second in STEPS {
                let wait = matches!(first, Wait) || matches!(second, Wait);
                if start.1 && wait {
                    // It would wait for ever.
                    continue;
                }
                println!("{start:?}: {first:?} against {second:?}");
                check(bound, move || both::<R>(start, [first, second]));
            }
        }
    }
}

macro_rules! steps {
    ($($variant:ident: $type:ty, $bound:expr;)*) => {
        $(
            mod $variant {
                #[test]
                fn each_step_is_one_point_in_time() {
                    super::every_pair::<$type>($bound);
                }
            }
        )*
    };
}

steps! {
    plain: crate::models::Plain, None;
    slots_1: crate::models::Slots<1>, Some(4);
    slots_2: crate::models::Slots<2>, Some(3);
    per_cpu: crate::models::Counters, Some(3);
}
