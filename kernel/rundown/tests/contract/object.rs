//! Calls go to an object and to the model; both must answer, report, wake and count the same.

use std::cell::Cell;

use rundown::{
    Completion, Drain, Generation, Misuse, Park, RefGuard, RefGuards, Rundown, Spin, State,
    Variant, WaitOutcome, WrongState,
};

use crate::model::{
    Answer, Call, Cancelled, Closed, Grant, Guard, Left, Merged, Model, Nothing, Poll, Step, Waited,
};
use crate::support::{Make, misuses, wake_ups};

enum Held<'a, R: Variant + ?Sized> {
    One(RefGuard<'a, R>),
    Many(RefGuards<'a, R>),
}

/// The object, and what the test holds of it.
struct Real<'a, R: Variant + ?Sized> {
    rundown: &'a Rundown<R>,
    guards: Vec<Option<Held<'a, R>>>,
    drains: Vec<Option<Drain<'a, R>>>,
    generations: Vec<Generation>,
}

impl<R: Variant + ?Sized> Drop for Real<'_, R> {
    /// If the test has failed, what guards are left may be too many: a second panic.
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(std::mem::take(&mut self.guards));
        }
    }
}

thread_local! {
    static RUNS: Cell<[usize; 2]> = const { Cell::new([0; 2]) };
}

fn ran(which: usize) {
    let mut runs = RUNS.get();
    runs[which] += 1;
    RUNS.set(runs);
}

static COMPLETIONS: [Completion; 2] = [Completion::of(|| ran(0)), Completion::of(|| ran(1))];

impl<'a, R: Make + ?Sized> Real<'a, R> {
    fn answer(&mut self, call: Call, held: i64) -> Answer {
        let rundown = self.rundown;
        match call {
            Call::BornClosed => {}
            Call::On(cpu) => R::on_cpu(cpu),
            Call::Acquire(n) => return Grant(rundown.acquire_many(n)),
            // SAFETY: the model says that something is held.
            Call::AcquireHeld(n) => return Grant(unsafe { rundown.acquire_held_many(n) }),
            Call::Release(n) => {
                // SAFETY: `n` are held without guards.
                unsafe { rundown.release_many(n) };
            }
            Call::OverRelease(more) => {
                // SAFETY: too many, but nothing depends on this object.
                unsafe { rundown.release_many(u32::try_from(held).unwrap_or(0) + more) };
            }
            Call::One => return self.guard(rundown.try_acquire().map(Held::One)),
            Call::Many(n) => return self.guard(rundown.try_acquire_many(n).map(Held::Many)),
            Call::Clone(number) => {
                let clone = match &self.guards[number] {
                    Some(Held::One(one)) => one.try_clone().ok().map(Held::One),
                    Some(Held::Many(many)) => many.try_clone().ok().map(Held::Many),
                    None => None,
                };
                return self.guard(clone);
            }
            Call::Drop(number) => self.guards[number] = None,
            Call::Split(number, n) => {
                let part = self.many(number).split_off(n);
                return self.guard(Some(Held::Many(part)));
            }
            Call::TakeOne(number) => {
                let one = self.many(number).take_one();
                return self.guard(one.map(Held::One));
            }
            Call::Merge(one, other) => return self.merge(one, other),
            Call::Close => return Closed(rundown.close()),
            Call::CloseThen(which) => return Left(rundown.close_then(&COMPLETIONS[which])),
            Call::Cancel => {
                let which = |it| COMPLETIONS.iter().position(|own| std::ptr::eq(own, it));
                let given_back = rundown.cancel();
                return Cancelled(given_back.map(|it| it.and_then(|it| which(it.as_ptr()))));
            }
            Call::Complete => return Step(rundown.complete()),
            Call::Reinit => return self.opened(rundown.reinit()),
            Call::Open => return self.opened(rundown.open()),
            Call::TryWait => {
                let waited = rundown.try_wait().map(|()| WaitOutcome::Drained);
                return Waited(waited.map_err(|error| {
                    assert_eq!(error.object, rundown.id());
                    (error.state, error.held)
                }));
            }
            Call::Wait if rundown.is_drained() => return Waited(Ok(rundown.wait(&Spin))),
            Call::Wait => {
                let waited = rundown.wait_deadline(&Park, 0);
                return Waited(waited.map_err(|error| (error.state, error.held)));
            }
            Call::Drain => self.drains.push(Some(rundown.drain())),
            Call::DrainOf(number) => {
                let generation = Generation(self.generations[number].0);
                self.drains.push(Some(rundown.drain_of(generation)));
            }
            Call::Poll(number) => return Poll(self.drains[number].as_mut().and_then(Drain::poll)),
            Call::DropDrain(number) => self.drains[number] = None,
        }
        Nothing
    }

    fn guard(&mut self, held: Option<Held<'a, R>>) -> Answer {
        let count = held.as_ref().map(|held| match held {
            Held::One(one) => one.count(),
            Held::Many(many) => many.count(),
        });
        if held.is_some() {
            self.guards.push(held);
        }
        Guard(count)
    }

    fn many(&mut self, number: usize) -> &mut RefGuards<'a, R> {
        let held = self.guards[number].as_mut().expect("the model has it");
        match held {
            Held::Many(many) => many,
            Held::One(_) => panic!("only guards of many are split and merged"),
        }
    }

    fn merge(&mut self, one: usize, other: usize) -> Answer {
        let Some(Held::Many(part)) = self.guards[other].take() else {
            panic!("only guards of many are split and merged");
        };
        match self.many(one).merge(part) {
            Ok(()) => Merged(true),
            Err(part) => {
                self.guards[other] = Some(Held::Many(part));
                Merged(false)
            }
        }
    }

    fn opened(&mut self, opened: Result<Generation, WrongState>) -> Answer {
        Step(opened.map(|generation| {
            assert!(!self.generations.contains(&generation), "not a new one");
            self.generations.push(generation);
        }))
    }
}

/// Makes the calls on a new object and on a model of it, and then gives back what is left.
///
/// # Panics
/// If they differ.
pub(crate) fn follow<R: Make + ?Sized>(calls: &[Call]) {
    let born_closed = calls.first() == Some(&Call::BornClosed);
    let object = if born_closed { R::make_closed() } else { R::make() };
    let mut model = Model::new(R::PLAIN, born_closed);
    let mut real = Real {
        rundown: &*object,
        guards: Vec::new(),
        drains: Vec::new(),
        generations: vec![object.generation()],
    };
    RUNS.set([0; 2]);
    R::on_cpu(0);
    for (index, &call) in calls.iter().enumerate() {
        step(&mut model, &mut real, call, &calls[..index]);
    }
    // After an over-release, what guards are left may be too many.
    for _ in 0..model.guards.len() {
        step(&mut model, &mut real, Call::Drop(0), calls);
    }
    for call in [Call::Release(u32::MAX), Call::Release(u32::MAX), Call::Close] {
        step(&mut model, &mut real, call, calls);
    }
}

/// One call, if it can be made.
fn step<R: Make + ?Sized>(model: &mut Model, real: &mut Real<'_, R>, call: Call, before: &[Call]) {
    let Some(call) = model.legal(call) else {
        return;
    };
    let context = || format!("{call:?} after {before:?}");
    (model.wakes, model.misuses) = (0, Vec::new());
    let held = model.held;
    let expected = model.answer(call);
    let mut answer = Nothing;
    let mut woken = Vec::new();
    let found = misuses(|| woken = wake_ups(|| answer = real.answer(call, held)));
    assert_eq!(answer, expected, "{}", context());
    let object = real.rundown;
    let id = object.id();
    assert_eq!(woken, vec![id; model.wakes], "woken by {}", context());
    let reported = model.misuses.iter().map(|&(held, released)| Misuse::OverRelease {
        object: id,
        held,
        released,
    });
    assert_eq!(found, reported.collect::<Vec<_>>(), "misuse, {}", context());
    assert_eq!(object.state(), model.state, "{}", context());
    assert_eq!(object.is_drained(), model.is_drained(), "{}", context());
    let held = if model.is_drained() { 0 } else { model.held };
    assert_eq!(object.racy_held(), held, "held, {}", context());
    let is_open = model.state == State::Open;
    assert_eq!(object.acquire_many(0).is_ok(), is_open, "{}", context());
    assert_eq!(object.generation(), real.generations[model.generation]);
    assert_eq!(RUNS.get(), model.runs, "completions, {}", context());
}
