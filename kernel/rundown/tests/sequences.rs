//! Random sequences of calls, every variant against a sequential model that a reader can check. What
//! fails is shrunk to a short sequence.
#![cfg(not(rundown_loom))]

mod support;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use rundown::{
    CloseOutcome, Drain, Misuse, Park, RefGuards, Refused, Rundown, State, Variant, WaitOutcome,
    WrongState,
};
use support::{Make, for_every_variant, misuses};

for_every_variant!(any_sequence_of_calls_follows_the_model);

/// A call, with the CPU it is made on.
#[derive(Clone, Debug)]
enum Call {
    Acquire {
        cpu: usize,
        n: u32,
    },
    Guards {
        cpu: usize,
        n: u32,
    },
    /// At most as many as are held.
    Release {
        cpu: usize,
        n: u32,
    },
    /// All that are held and some more: against the contract.
    OverRelease {
        cpu: usize,
        more: u32,
    },
    DropGuards {
        which: Index,
        cpu: usize,
    },
    SplitGuards {
        which: Index,
        n: u32,
    },
    Close,
    Cancel,
    Complete,
    Reinit,
    Open,
    TryWait,
    WaitUntilThePast,
    StartDrain,
    Poll {
        which: Index,
    },
    DropDrain {
        which: Index,
    },
}

fn call() -> impl Strategy<Value = Call> {
    use Call::{
        Acquire, Cancel, Close, Complete, DropDrain, DropGuards, Guards, Open, OverRelease, Poll,
        Reinit, Release, SplitGuards, StartDrain, TryWait, WaitUntilThePast,
    };
    let cpu = || prop_oneof![9 => 0..10_usize, 1 => Just(usize::MAX)];
    let which = any::<Index>;
    prop_oneof![
        4 => (cpu(), 0..4_u32).prop_map(|(cpu, n)| Acquire { cpu, n }),
        4 => (cpu(), 0..4_u32).prop_map(|(cpu, n)| Guards { cpu, n }),
        4 => (cpu(), 1..4_u32).prop_map(|(cpu, n)| Release { cpu, n }),
        1 => (cpu(), 1..4_u32).prop_map(|(cpu, more)| OverRelease { cpu, more }),
        4 => (which(), cpu()).prop_map(|(which, cpu)| DropGuards { which, cpu }),
        1 => (which(), 0..4_u32).prop_map(|(which, n)| SplitGuards { which, n }),
        3 => Just(Close),
        3 => Just(Cancel),
        1 => Just(Complete),
        2 => Just(Reinit),
        1 => Just(Open),
        1 => Just(TryWait),
        1 => Just(WaitUntilThePast),
        2 => Just(StartDrain),
        3 => which().prop_map(|which| Poll { which }),
        1 => which().prop_map(|which| DropDrain { which }),
    ]
}

/// What has happened since a drain began.
#[derive(Clone, Copy, Default)]
struct Since {
    drained: bool,
    cancelled: bool,
}

impl Since {
    fn outcome(self) -> Option<WaitOutcome> {
        match self {
            // What was waited for has come true, whatever came before.
            Self { drained: true, .. } => Some(WaitOutcome::Drained),
            Self {
                cancelled: true, ..
            } => Some(WaitOutcome::Cancelled),
            _ => None,
        }
    }
}

/// The contract, for one caller at a time.
struct Model {
    plain: bool,
    state: State,
    /// What was taken less what was released. Negative only by misuse.
    held: i64,
    drains: Vec<Since>,
    /// What must be reported.
    misuses: Vec<(i64, u64)>,
    /// Of a born-closed object: its slots have never been closed, so what is released there is found
    /// when it opens.
    never_closed: bool,
}

impl Model {
    fn new(plain: bool, born_closed: bool) -> Self {
        Self {
            plain,
            state: if born_closed {
                State::RunDown
            } else {
                State::Open
            },
            held: 0,
            drains: Vec::new(),
            misuses: Vec::new(),
            never_closed: born_closed,
        }
    }

    fn acquire(&mut self, n: u32) -> Result<(), Refused> {
        if self.state != State::Open {
            return Err(Refused::Closed);
        }
        self.held += i64::from(n);
        Ok(())
    }

    fn release(&mut self, n: u32) {
        let (before, released) = (self.held, u64::from(n));
        let too_many = before < i64::from(n);
        match self.state {
            State::Open if too_many && self.plain => self.misuses.push((before, released)),
            State::Open => self.held -= i64::from(n),
            State::Draining if too_many => {
                self.misuses.push((before, released));
                if !self.plain {
                    self.drained();
                }
            }
            State::Draining => {
                self.held -= i64::from(n);
                if self.held == 0 {
                    self.drained();
                }
            }
            _ if self.never_closed && !self.plain => self.held -= i64::from(n),
            _ => self.misuses.push((0, released)),
        }
    }

    fn drained(&mut self) {
        self.state = State::Drained;
        self.held = 0;
        for since in &mut self.drains {
            since.drained = true;
        }
    }

    fn close(&mut self) -> CloseOutcome {
        if self.state != State::Open {
            return CloseOutcome::AlreadyClosed;
        }
        self.state = State::Draining;
        if self.held < 0 {
            self.misuses.push((0, self.held.unsigned_abs()));
        }
        if self.held <= 0 {
            self.drained();
        }
        CloseOutcome::Closed
    }

    fn cancel(&mut self) -> Result<(), WrongState> {
        self.only_if(self.state == State::Draining)?;
        self.state = State::Open;
        for since in &mut self.drains {
            since.cancelled = true;
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), WrongState> {
        self.only_if(matches!(self.state, State::Drained | State::RunDown))?;
        self.state = State::RunDown;
        Ok(())
    }

    fn reinit(&mut self, legal: bool) -> Result<(), WrongState> {
        self.only_if(legal)?;
        if self.held < 0 {
            self.misuses.push((0, self.held.unsigned_abs()));
        }
        (self.state, self.held, self.never_closed) = (State::Open, 0, false);
        Ok(())
    }

    fn only_if(&self, legal: bool) -> Result<(), WrongState> {
        let found = self.state;
        if legal {
            Ok(())
        } else {
            Err(WrongState { found })
        }
    }

    fn start_drain(&mut self) -> Since {
        self.close();
        Since {
            drained: self.is_drained(),
            cancelled: false,
        }
    }

    fn is_drained(&self) -> bool {
        matches!(self.state, State::Drained | State::RunDown)
    }

    /// What [`Rundown::racy_held`] says.
    fn racy_held(&self) -> i64 {
        if self.is_drained() { 0 } else { self.held }
    }
}

/// The object and what the test holds of it.
struct Real<'a, R: Variant + ?Sized> {
    rundown: &'a Rundown<R>,
    guards: Vec<RefGuards<'a, R>>,
    drains: Vec<Drain<'a, R>>,
}

/// Both make the call, and must answer the same.
fn step<R: Make + ?Sized>(
    call: &Call,
    model: &mut Model,
    real: &mut Real<'_, R>,
) -> Result<(), TestCaseError> {
    let rundown = real.rundown;
    match call {
        Call::Acquire { cpu, n } => {
            R::on_cpu(*cpu);
            prop_assert_eq!(rundown.acquire_many(*n), model.acquire(*n));
        }
        Call::Guards { cpu, n } => {
            R::on_cpu(*cpu);
            let guards = rundown.try_acquire_many(*n);
            prop_assert_eq!(guards.is_some(), model.acquire(*n).is_ok());
            real.guards.extend(guards);
        }
        Call::Release { cpu, n } => {
            let in_guards: i64 = real.guards.iter().map(|g| i64::from(g.count())).sum();
            let free = u32::try_from(model.held - in_guards).unwrap_or(0);
            let n = free.min(*n);
            if n > 0 {
                R::on_cpu(*cpu);
                model.release(n);
                // SAFETY: so many are held without guards.
                unsafe { rundown.release_many(n) };
            }
        }
        Call::OverRelease { cpu, more } => {
            R::on_cpu(*cpu);
            let n = u32::try_from(model.held).unwrap_or(0) + more;
            model.release(n);
            // SAFETY: too many, but nothing depends on this object.
            unsafe { rundown.release_many(n) };
        }
        Call::DropGuards { which, cpu } if !real.guards.is_empty() => {
            R::on_cpu(*cpu);
            let guards = real.guards.swap_remove(which.index(real.guards.len()));
            if guards.count() > 0 {
                model.release(guards.count());
            }
            drop(guards);
        }
        Call::SplitGuards { which, n } if !real.guards.is_empty() => {
            let index = which.index(real.guards.len());
            let n = real.guards[index].count().min(*n);
            let part = real.guards[index].split_off(n);
            real.guards.push(part);
        }
        Call::Close => prop_assert_eq!(rundown.close(), model.close()),
        Call::Cancel => prop_assert_eq!(rundown.cancel().map(|_| ()), model.cancel()),
        Call::Complete => prop_assert_eq!(rundown.complete(), model.complete()),
        Call::Reinit => {
            let legal = model.is_drained();
            prop_assert_eq!(rundown.reinit().map(drop), model.reinit(legal));
        }
        Call::Open => {
            let legal = model.state == State::RunDown;
            prop_assert_eq!(rundown.open().map(drop), model.reinit(legal));
        }
        Call::TryWait => {
            model.close();
            let waited = rundown.try_wait();
            prop_assert_eq!(waited.is_ok(), model.is_drained());
            if let Err(outstanding) = waited {
                prop_assert_eq!(outstanding.object, rundown.id());
                prop_assert_eq!(outstanding.state, model.state);
                prop_assert_eq!(outstanding.held, model.held);
            }
        }
        Call::WaitUntilThePast => {
            model.close();
            match rundown.wait_deadline(&Park, 0) {
                Ok(outcome) => {
                    prop_assert_eq!(outcome, WaitOutcome::Drained);
                    prop_assert!(model.is_drained());
                }
                Err(outstanding) => prop_assert_eq!(outstanding.held, model.held),
            }
        }
        Call::StartDrain => {
            let since = model.start_drain();
            model.drains.push(since);
            real.drains.push(rundown.drain());
        }
        Call::Poll { which } if !real.drains.is_empty() => {
            let index = which.index(real.drains.len());
            let outcome = real.drains[index].poll();
            prop_assert_eq!(outcome, model.drains[index].outcome());
        }
        Call::DropDrain { which } if !real.drains.is_empty() => {
            let index = which.index(real.drains.len());
            drop(real.drains.swap_remove(index));
            model.drains.swap_remove(index);
        }
        // Nothing there to be dropped, split or polled.
        _ => {}
    }
    Ok(())
}

fn follows<R: Make + ?Sized>(born_closed: bool, calls: &[Call]) -> Result<(), TestCaseError> {
    let object = if born_closed {
        R::make_closed()
    } else {
        R::make()
    };
    let mut model = Model::new(R::PLAIN, born_closed);
    let mut real = Real {
        rundown: &*object,
        guards: Vec::new(),
        drains: Vec::new(),
    };
    for call in calls {
        let mut stepped = Ok(());
        let found = misuses(|| stepped = step(call, &mut model, &mut real));
        stepped?;
        let expected: Vec<Misuse> = std::mem::take(&mut model.misuses)
            .into_iter()
            .map(|(held, released)| Misuse::OverRelease {
                object: real.rundown.id(),
                held,
                released,
            })
            .collect();
        prop_assert_eq!(found, expected, "after {:?}", call);
        prop_assert_eq!(real.rundown.state(), model.state, "after {:?}", call);
        prop_assert_eq!(real.rundown.is_drained(), model.is_drained());
        let held = real.rundown.racy_held();
        prop_assert_eq!(held, model.racy_held(), "after {:?}", call);
    }
    // Guards that are left may be too many, after an over-release.
    misuses(|| drop(real));
    Ok(())
}

fn any_sequence_of_calls_follows_the_model<R: Make + ?Sized>() {
    let config = Config {
        cases: 150,
        // The sources may be read-only; the shrunk sequence is in the output.
        failure_persistence: None,
        ..Config::default()
    };
    let sequences = (any::<bool>(), prop::collection::vec(call(), 1..50));
    let checked = TestRunner::new(config).run(&sequences, |(born_closed, calls)| {
        follows::<R>(born_closed, &calls)
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}
