//! Models: every two steps of owners against each other, on an object that guards nothing of its own. Each
//! step is one point in time: what both say, and where the object ends, is what they would have said one after
//! the other, in one of the two orders. Only that one may find the other at work, and be refused.
#![cfg(rundown_loom)]

mod models;

use std::sync::Arc as Plainly;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::Arc;
use loom::thread;
use models::{Make, Sleep, on_cpu};
use rundown::{CloseOutcome, CloseThenError, Completion, Rundown, State, WrongState};

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

const STARTS: [State; 4] = [State::Open, State::Draining, State::Drained, State::RunDown];

/// What a step says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Done,
    Refused,
    /// The other one was in the middle of its step.
    Busy,
}

/// What each step does alone. Draining, one protection is held all the time, so no step waits.
fn alone(step: Step, state: State) -> (Said, State) {
    let closed = if state == State::Draining {
        State::Draining
    } else {
        State::Drained
    };
    match (step, state) {
        (Open, State::RunDown) => (Said::Done, State::Open),
        (Reinit, State::Drained | State::RunDown) => (Said::Done, State::Open),
        (Complete, State::Drained | State::RunDown) => (Said::Done, State::RunDown),
        (Close | CloseThen, State::Open) => (Said::Done, closed),
        // It is left with the object that drains.
        (CloseThen, State::Draining) => (Said::Done, closed),
        (Cancel, State::Draining) => (Said::Done, State::Open),
        (Wait, State::Open) => (Said::Done, closed),
        (Wait, _) => (Said::Done, state),
        _ => (Said::Refused, state),
    }
}

/// What both say, and the end of it, one after the other. An object that is held drains when it closes.
fn in_order(start: State, steps: [Step; 2]) -> ([Said; 2], State) {
    let held = start == State::Draining;
    let next = |step, state| {
        let (said, state) = alone(step, state);
        let drains = held && state == State::Drained;
        (said, if drains { State::Draining } else { state })
    };
    let (first, state) = next(steps[0], start);
    let (second, state) = next(steps[1], state);
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
        CloseThen => {
            // SAFETY: the model keeps it to the end.
            let answer = unsafe { object.close_then_unchecked(&*left.completion) };
            match answer {
                Ok(()) => {
                    left.left.fetch_add(1, Relaxed);
                    Said::Done
                }
                Err(CloseThenError::WrongState(error)) => wrong(error),
                Err(CloseThenError::Occupied) => Said::Busy,
                Err(other) => unreachable!("{other}"),
            }
        }
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
    completion: Box<Completion>,
    left: AtomicUsize,
    given_back: AtomicUsize,
    runs: Box<AtomicUsize>,
}

impl Left {
    fn new() -> Self {
        unsafe fn run(runs: *mut ()) {
            // SAFETY: the model keeps it to the end.
            unsafe { &*runs.cast::<AtomicUsize>() }.fetch_add(1, Relaxed);
        }
        let runs = Box::new(AtomicUsize::new(0));
        let context = std::ptr::from_ref(&*runs).cast_mut().cast();
        Self {
            // SAFETY: any thread may count.
            completion: Box::new(unsafe { Completion::new(run, context) }),
            left: AtomicUsize::new(0),
            given_back: AtomicUsize::new(0),
            runs,
        }
    }
}

fn both<R: Make>(start: State, steps: [Step; 2]) {
    let object = Arc::new(R::new());
    let left = Plainly::new(Left::new());
    let held = start == State::Draining;
    if held {
        object.acquire().unwrap();
    }
    if start != State::Open {
        object.close();
    }
    if start == State::RunDown {
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
    assert!(
        possible(start, steps).contains(&seen),
        "{start}, {steps:?}: {seen:?}"
    );
    // Whatever came of it, the object counts right, and completions are accounted for.
    assert_eq!(object.racy_held(), i64::from(held));
    if held {
        // SAFETY: acquired above.
        unsafe { object.release() };
    }
    object.close();
    assert!(object.is_drained());
    let out = left.runs.load(Relaxed) + left.given_back.load(Relaxed);
    assert_eq!(left.left.load(Relaxed), out);
    object.reinit().unwrap();
    let guard = object.try_acquire().unwrap();
    assert_eq!(object.racy_held(), 1);
    drop(guard);
}

/// One order, or the other, or one of them was refused because it found the other at work.
fn possible(start: State, [first, second]: [Step; 2]) -> [([Said; 2], State); 4] {
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
                if start == State::Draining && wait {
                    // It would wait for ever.
                    continue;
                }
                println!("{start}: {first:?} against {second:?}");
                let mut builder = loom::model::Builder::new();
                builder.preemption_bound = bound;
                builder.check(move || both::<R>(start, [first, second]));
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
