//! Models: every two calls of owners against each other, from every state in which an object may be
//! between calls. No value is lost or comes out twice, no completion either, what an owner wrote is
//! seen by the one that takes it out, and the object is as good as new afterwards.
//!
//! A call that is not about the value is one point in time: the answers of two of them, and the
//! state at the end, are as if one came after the other, in one of the two orders. Or one finds the
//! other at work, and is refused.
#![cfg(rundown_loom)]

mod models;

use std::sync::Arc as Plainly;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use models::{Counting, Make, Sleep, check, on_cpu, spawn};
use rundown::{CloseOutcome, CloseThenError, Guard, Protected, State, WrongState};

/// Loom checks that a read has seen the write.
type Value = UnsafeCell<u32>;
type Object<R> = Protected<Value, R>;

#[derive(Clone, Copy, Debug)]
enum Call {
    Publish,
    RunDown,
    TryRunDown,
    Replace,
    Open,
    Reinit,
    Complete,
    Close,
    CloseThen,
    Cancel,
    Wait,
}

impl Call {
    fn is_about_the_value(self) -> bool {
        matches!(self, Publish | RunDown | TryRunDown | Replace)
    }

    fn waits(self) -> bool {
        matches!(self, RunDown | Replace | Wait)
    }
}

use Call::{
    Cancel, Close, CloseThen, Complete, Open, Publish, Reinit, Replace, RunDown, TryRunDown, Wait,
};

const CALLS: [Call; 11] =
    [Publish, RunDown, TryRunDown, Replace, Open, Reinit, Complete, Close, CloseThen, Cancel, Wait];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Vacant,
    /// Born closed, with a value.
    Unopened,
    Open,
    /// Open, and one guard is out.
    Held,
    /// Closed, and one guard is out.
    Draining,
    /// The same, and a completion is left.
    DrainingThen,
    Drained,
    /// Its first value has been taken out.
    RunDown,
}

impl Start {
    fn is_held(self) -> bool {
        matches!(self, Self::Held | Self::Draining | Self::DrainingThen)
    }
}

/// The state at the start, if answers are checked against the two orders: the calls are not about
/// the value, and the guard stays.
fn checked(start: Start, calls: [Call; 2], dropped: Dropped) -> Option<State> {
    let stays = start.is_held() == (dropped == Dropped::Last);
    if !stays || calls.into_iter().any(Call::is_about_the_value) {
        return None;
    }
    match start {
        Start::Unopened => Some(State::RunDown),
        Start::Open | Start::Held => Some(State::Open),
        Start::Draining => Some(State::Draining),
        Start::Drained => Some(State::Drained),
        Start::Vacant | Start::DrainingThen | Start::RunDown => None,
    }
}

/// The guard's drop, if any: before or after the first call, during the second, after both.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dropped {
    Early,
    Late,
    Last,
}

/// The answer of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Refused,
    /// The other one was in the middle of its call.
    Busy,
}

impl<T> From<Result<T, WrongState>> for Answer {
    fn from(result: Result<T, WrongState>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(WrongState { found: State::Closing | State::Claimed }) => Self::Busy,
            Err(_) => Self::Refused,
        }
    }
}

/// The effect of each call alone.
fn alone(call: Call, state: State, held: bool) -> (Answer, State) {
    let closed = if held { State::Draining } else { State::Drained };
    match (call, state) {
        (Open, State::RunDown) => (Answer::Done, State::Open),
        (Reinit, State::Drained | State::RunDown) => (Answer::Done, State::Open),
        (Complete, State::Drained | State::RunDown) => (Answer::Done, State::RunDown),
        (Close | CloseThen | Wait, State::Open) => (Answer::Done, closed),
        // It is left with the object that drains.
        (CloseThen, State::Draining) => (Answer::Done, closed),
        (Cancel, State::Draining) => (Answer::Done, State::Open),
        (Wait, _) => (Answer::Done, state),
        _ => (Answer::Refused, state),
    }
}

/// One order, or the other, or one of them was refused because it found the other at work.
fn possible([first, second]: [Call; 2], start: State, held: bool) -> [([Answer; 2], State); 4] {
    let (first_alone, after_first) = alone(first, start, held);
    let (second_alone, after_second) = alone(second, start, held);
    let (second_then, end) = alone(second, after_first, held);
    let (first_then, other_end) = alone(first, after_second, held);
    [
        ([first_alone, second_then], end),
        ([first_then, second_alone], other_end),
        ([first_alone, Answer::Busy], after_first),
        ([Answer::Busy, second_alone], after_second),
    ]
}

/// Values and completions that went into an object, and those that came out.
#[derive(Default)]
struct Tally {
    values_in: Vec<u32>,
    values_out: Vec<u32>,
    completions_in: usize,
    completions_out: usize,
}

impl Tally {
    fn goes_in(&mut self, value: u32, accepted: bool) {
        if accepted {
            self.values_in.push(value);
        }
    }

    fn comes_out(&mut self, value: Option<Value>) {
        // SAFETY: this is its owner. Loom checks that all accesses happen-before.
        let value = value.map(|value| value.with_mut(|value| unsafe { *value }));
        self.values_out.extend(value);
    }

    fn and(mut self, mut other: Self) -> Self {
        self.values_in.append(&mut other.values_in);
        self.values_out.append(&mut other.values_out);
        self.completions_in += other.completions_in;
        self.completions_out += other.completions_out;
        self
    }

    fn is_balanced(&mut self) -> bool {
        self.values_in.sort_unstable();
        self.values_out.sort_unstable();
        self.values_in == self.values_out && self.completions_in == self.completions_out
    }
}

fn made<R: Make>(
    call: Call,
    object: &Object<R>,
    value: u32,
    completion: &Counting,
) -> (Tally, Answer) {
    let mut tally = Tally::default();
    let new = UnsafeCell::new(value);
    let mut answer = Answer::Done;
    match call {
        Publish => tally.goes_in(value, object.publish(new).is_ok()),
        RunDown => tally.comes_out(object.run_down(&Sleep).ok()),
        TryRunDown => tally.comes_out(object.try_run_down().ok()),
        Replace => {
            let old = object.replace(&Sleep, new).ok();
            tally.goes_in(value, old.is_some());
            tally.comes_out(old);
        }
        // Its value has been counted when the object was made.
        Open => answer = object.open().into(),
        Reinit => answer = object.reinit().into(),
        Complete => answer = object.complete().into(),
        Close => {
            answer = match object.close() {
                CloseOutcome::Closed => Answer::Done,
                CloseOutcome::AlreadyClosed => Answer::Refused,
                CloseOutcome::Superseded => Answer::Busy,
                CloseOutcome::IllegalContext => unreachable!("legal everywhere"),
            }
        }
        CloseThen => {
            let result = completion.leave_with(object);
            tally.completions_in += usize::from(result.is_ok());
            answer = match result {
                Ok(()) => Answer::Done,
                Err(CloseThenError::WrongState(error)) => Err::<(), _>(error).into(),
                Err(CloseThenError::Occupied) => Answer::Busy,
                Err(other) => unreachable!("{other}"),
            }
        }
        Cancel => {
            let result = object.cancel();
            tally.completions_out += usize::from(matches!(result, Ok(Some(_))));
            answer = result.into();
        }
        Wait => _ = object.wait(&Sleep),
    }
    (tally, answer)
}

/// An object in this state, and what went into it and came out.
fn started<R: Make>(start: Start) -> (Object<R>, Tally) {
    let first = 1;
    let mut tally = Tally::default();
    let object = match start {
        Start::Vacant => return (Protected::vacant(R::closed()), tally),
        Start::Unopened => Protected::new(R::closed(), UnsafeCell::new(first)),
        _ => Protected::new(R::new(), UnsafeCell::new(first)),
    };
    tally.goes_in(first, true);
    match start {
        Start::Drained => drop(object.close()),
        Start::RunDown => tally.comes_out(Some(object.run_down(&Sleep).unwrap())),
        _ => {}
    }
    (object, tally)
}

fn pair<R: Make>(start: Start, calls: [Call; 2], dropped: Dropped) {
    let completion = Counting::new();
    let (object, mut tally) = started::<R>(start);
    let object = Arc::new(object);
    let mut guard = start.is_held().then(|| object.try_acquire().unwrap());
    match start {
        Start::Draining => drop(object.close()),
        Start::DrainingThen => {
            completion.leave_with(&object).unwrap();
            tally.completions_in += 1;
        }
        _ => {}
    }
    let other = {
        let (object, completion) = (Arc::clone(&object), Plainly::clone(&completion));
        thread::spawn(move || {
            on_cpu(1);
            made(calls[1], &object, 20, &completion)
        })
    };
    let mut let_go = || {
        if let Some(guard) = guard.take() {
            // SAFETY: nothing writes it while it is protected.
            guard.with(|value| assert_eq!(unsafe { *value }, 1));
        }
    };
    if dropped == Dropped::Early {
        let_go();
    }
    let (first, first_answer) = made(calls[0], &object, 10, &completion);
    if dropped == Dropped::Late {
        let_go();
    }
    let (second, second_answer) = other.join().unwrap();
    if let Some(state) = checked(start, calls, dropped) {
        let held = start.is_held();
        let seen = ([first_answer, second_answer], object.state());
        assert!(possible(calls, state, held).contains(&seen), "{start:?}, {calls:?}: {seen:?}");
        assert_eq!(object.racy_held(), i64::from(held));
        assert_eq!(object.try_acquire().is_some(), seen.1 == State::Open);
    }
    let_go();
    ends_well(&object, tally.and(first).and(second), completion.runs());
}

/// Whatever the outcome: the rest comes out, and the object works on.
fn ends_well<R: Make>(object: &Object<R>, mut tally: Tally, runs: usize) {
    let state = object.state();
    assert!(matches!(state, State::Open | State::Drained | State::RunDown), "{state} at the end");
    tally.comes_out(object.run_down(&Sleep).ok());
    tally.completions_out += runs;
    assert!(
        tally.is_balanced(),
        "in: {:?} and {} completions, out: {:?} and {}",
        tally.values_in,
        tally.completions_in,
        tally.values_out,
        tally.completions_out
    );
    assert_eq!(object.state(), State::RunDown);
    object.publish(UnsafeCell::new(99)).unwrap();
    let guard = object.try_acquire().unwrap();
    assert!(object.try_run_down().is_err(), "held");
    let clone: Guard<'_, _, R> = guard.clone();
    drop(guard);
    assert_eq!((object.state(), object.racy_held()), (State::Draining, 1));
    drop(clone);
    assert!(object.try_run_down().is_ok());
}

/// Of two calls each way round, since threads differ in what they have seen. `bound` is for pairs
/// whose answers are checked; the others take more of loom's steps.
fn every_pair<R: Make>(start: Start, bound: Option<usize>, other_bound: usize) {
    for calls in CALLS.into_iter().flat_map(|first| CALLS.map(|second| [first, second])) {
        let value = calls.into_iter().any(Call::is_about_the_value);
        let drops: &[Dropped] = match start {
            Start::Draining if !value => &[Dropped::Early, Dropped::Late, Dropped::Last],
            Start::Draining | Start::DrainingThen => &[Dropped::Early, Dropped::Late],
            Start::Held if value => &[],
            Start::Held => &[Dropped::Last],
            Start::Vacant | Start::RunDown if !value => &[],
            _ => &[Dropped::Early],
        };
        for &dropped in drops {
            let waits_for_itself = match dropped {
                Dropped::Early => false,
                Dropped::Late => calls[0].waits(),
                Dropped::Last => calls.into_iter().any(Call::waits),
            };
            if !waits_for_itself {
                println!("{start:?}: {:?} against {:?}, {dropped:?}", calls[0], calls[1]);
                let checked = checked(start, calls, dropped).is_some();
                let bound = if checked { bound } else { Some(other_bound) };
                check(bound, move || pair::<R>(start, calls, dropped));
            }
        }
    }
}

macro_rules! pairs {
    ($($variant:ident: $type:ty, $bounds:tt;)*) => { $(
        mod $variant {
            use super::Start;

            #[test]
            fn publish_against_open_of_a_vacant_object() {
                loom::model(super::publish_against_open_of_a_vacant_object::<$type>);
            }

            pairs!(@starts $type, $bounds,
                fn vacant: Vacant, fn unopened: Unopened, fn open: Open, fn held: Held,
                fn draining: Draining, fn draining_with_a_completion: DrainingThen,
                fn drained: Drained, fn run_down: RunDown);
        }
    )* };
    (@starts $type:ty, $bounds:tt, $(fn $name:ident: $start:ident),*) => { $(
        pairs!(@start $type, $bounds, fn $name: $start);
    )* };
    (@start $type:ty, ($bound:expr, $other_bound:expr), fn $name:ident: $start:ident) => {
        #[test]
        fn $name() {
            super::every_pair::<$type>(Start::$start, $bound, $other_bound);
        }
    };
}

pairs! {
    plain: crate::models::Plain, (None, 3);
    slots_1: crate::models::Slots<1>, (Some(4), 3);
    per_cpu: crate::models::Counters, (Some(3), 2);
}

/// An open that is refused puts no word back that publishing may stumble over.
fn publish_against_open_of_a_vacant_object<R: Make>() {
    let object = Arc::new(Protected::<_, R>::vacant(R::closed()));
    let other = spawn(&object, |object| object.open().is_ok());
    let published = object.publish(7).is_ok();
    assert!(published, "nothing else opens it");
    assert!(!other.join().unwrap(), "it held no value");
    assert_eq!(object.try_acquire().map(|guard| *guard), Some(7));
}
