//! Models: every two calls of owners against each other, from every state in which an object may be between
//! calls. No value is lost or comes out twice, no completion either, what an owner wrote is seen by the one
//! that takes it out, and the object is as good as new afterwards.
#![cfg(rundown_loom)]

mod models;

use std::sync::Arc as Plainly;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use models::{Counting, Make, Sleep, check, on_cpu, spawn};
use rundown::{Guard, Protected, State};

/// Loom checks that a read has seen the write.
type Value = UnsafeCell<u32>;
type Object<R> = Protected<Value, R>;

#[derive(Clone, Copy, Debug)]
enum Call {
    Publish,
    Open,
    Reinit,
    Complete,
    RunDown,
    TryRunDown,
    Replace,
    Close,
    CloseThen,
    Cancel,
    Wait,
}

impl Call {
    fn is_about_the_value(self) -> bool {
        matches!(self, Publish | RunDown | TryRunDown | Replace)
    }
}

use Call::{
    Cancel, Close, CloseThen, Complete, Open, Publish, Reinit, Replace, RunDown, TryRunDown, Wait,
};

const CALLS: [Call; 11] =
    [Publish, Open, Reinit, Complete, RunDown, TryRunDown, Replace, Close, CloseThen, Cancel, Wait];

#[derive(Clone, Copy, Debug)]
enum Start {
    Vacant,
    /// Born closed, with a value.
    Unopened,
    Open,
    /// One guard is out, which is dropped during the two calls.
    Draining,
    /// A completion is left, and one guard is out, which is dropped during the two calls.
    DrainingThen,
    Drained,
    /// Its first value has been taken out.
    RunDown,
}

/// What has gone into an object, and what has come out.
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

    fn comes_out(&mut self, value: Value) {
        // SAFETY: this is its owner. Loom checks that all accesses happen-before.
        let value = value.with_mut(|value| unsafe { *value });
        self.values_out.push(value);
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

fn made<R: Make>(call: Call, object: &Object<R>, value: u32, completion: &Counting) -> Tally {
    let mut tally = Tally::default();
    let new = UnsafeCell::new(value);
    match call {
        Publish => tally.goes_in(value, object.publish(new).is_ok()),
        // Its value has been counted when the object was made.
        Open => drop(object.open()),
        Reinit => drop(object.reinit()),
        Complete => drop(object.complete()),
        RunDown => {
            if let Ok(old) = object.run_down(&Sleep) {
                tally.comes_out(old);
            }
        }
        TryRunDown => {
            if let Ok(old) = object.try_run_down() {
                tally.comes_out(old);
            }
        }
        Replace => {
            if let Ok(old) = object.replace(&Sleep, new) {
                tally.goes_in(value, true);
                tally.comes_out(old);
            }
        }
        Close => drop(object.close()),
        CloseThen => {
            let left = completion.leave_with(object).is_ok();
            tally.completions_in += usize::from(left);
        }
        Cancel => {
            let given_back = object.cancel().is_ok_and(|it| it.is_some());
            tally.completions_out += usize::from(given_back);
        }
        Wait => {
            let _ = object.wait(&Sleep);
        }
    }
    tally
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
        Start::RunDown => tally.comes_out(object.run_down(&Sleep).unwrap()),
        _ => {}
    }
    (object, tally)
}

/// The guard, if one is out, is dropped `early`, before the first call, or after it; during the second.
fn pair<R: Make>(start: Start, [first, second]: [Call; 2], early: bool) {
    let completion = Counting::new();
    let (object, mut tally) = started::<R>(start);
    let object = Arc::new(object);
    let mut guard = None;
    if let Start::Draining | Start::DrainingThen = start {
        guard = Some(object.try_acquire().unwrap());
        if let Start::DrainingThen = start {
            completion.leave_with(&object).unwrap();
            tally.completions_in += 1;
        } else {
            object.close();
        }
    }
    let other = {
        let (object, completion) = (Arc::clone(&object), Plainly::clone(&completion));
        thread::spawn(move || {
            on_cpu(1);
            made(second, &object, 20, &completion)
        })
    };
    let let_go = |guard: Option<Guard<'_, Value, R>>| {
        if let Some(guard) = guard {
            // SAFETY: nothing writes it while it is protected.
            guard.with(|value| assert_eq!(unsafe { *value }, 1));
        }
    };
    let late = if early { None } else { guard.take() };
    let_go(guard);
    tally = tally.and(made(first, &object, 10, &completion));
    let_go(late);
    tally = tally.and(other.join().unwrap());
    ends_well(&object, tally, completion.runs());
}

/// Whatever came of it: what is left comes out, and the object serves on.
fn ends_well<R: Make>(object: &Object<R>, mut tally: Tally, runs: usize) {
    let state = object.state();
    assert!(matches!(state, State::Open | State::Drained | State::RunDown), "{state} at the end");
    if let Ok(value) = object.run_down(&Sleep) {
        tally.comes_out(value);
    }
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

/// Of two calls each way round, since threads differ in what they have seen.
fn every_pair<R: Make>(start: Start, bound: Option<usize>) {
    for first in CALLS {
        for second in CALLS {
            for early in [true, false] {
                let held = matches!(start, Start::Draining | Start::DrainingThen);
                if !early && (!held || matches!(first, RunDown | Replace | Wait)) {
                    // It would wait for itself.
                    continue;
                }
                if !held && ![first, second].into_iter().any(Call::is_about_the_value) {
                    // `loom_owner_steps` has these.
                    continue;
                }
                println!("{start:?}: {first:?} against {second:?}, {early}");
                check(bound, move || pair::<R>(start, [first, second], early));
            }
        }
    }
}

macro_rules! pairs {
    ($($variant:ident: $type:ty, $bound:expr;)*) => { $(
        mod $variant {
            use super::Start;

            #[test]
            fn publish_against_open_of_a_vacant_object() {
                loom::model(super::publish_against_open_of_a_vacant_object::<$type>);
            }

            pairs!(@starts $type, $bound,
                fn vacant: Vacant, fn unopened: Unopened, fn open: Open, fn draining: Draining,
                fn draining_with_a_completion: DrainingThen, fn drained: Drained, fn run_down: RunDown);
        }
    )* };
    (@starts $type:ty, $bound:expr, $(fn $name:ident: $start:ident),*) => { $(
        #[test]
        fn $name() {
            super::every_pair::<$type>(Start::$start, $bound);
        }
    )* };
}

pairs! {
    plain: crate::models::Plain, Some(3);
    slots_1: crate::models::Slots<1>, Some(3);
    per_cpu: crate::models::Counters, Some(2);
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
