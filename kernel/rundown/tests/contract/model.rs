//! The contract for one caller at a time, as a model that a reader can check.

use rundown::{CloseOutcome, CloseThenError, Refused, Rundown, State, WaitOutcome, WrongState};

use crate::support::Plain;

/// A call. Guards, waits and generations go by their number, in the order in which they began; if
/// that one is gone, the next is meant that is still there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    /// Only as the first: the object is born closed.
    BornClosed,
    /// From here on, the calls are made on this CPU.
    On(usize),
    Acquire(u32),
    /// By a holder.
    AcquireHeld(u32),
    /// At most as many as are held without guards.
    Release(u32),
    /// All that are held and some more: against the contract.
    OverRelease(u32),
    /// One guard, or a guard of several.
    One,
    Many(u32),
    Clone(usize),
    Drop(usize),
    /// At most as many as it is.
    Split(usize, u32),
    TakeOne(usize),
    Merge(usize, usize),
    Close,
    /// With the first or second completion.
    CloseThen(usize),
    Cancel,
    Complete,
    Reinit,
    Open,
    TryWait,
    /// Until it drains or, if it is held, until the past.
    Wait,
    Drain,
    DrainOf(usize),
    Poll(usize),
    DropDrain(usize),
}

/// The possible answers of a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Nothing,
    Grant(Result<(), Refused>),
    /// How many a guard is, if there is one.
    Guard(Option<u32>),
    Merged(bool),
    Closed(CloseOutcome),
    Left(Result<(), CloseThenError>),
    /// Which completion came back.
    Cancelled(Result<Option<usize>, WrongState>),
    Step(Result<(), WrongState>),
    /// Or the state and the number outstanding.
    Waited(Result<WaitOutcome, (State, i64)>),
    Poll(Option<WaitOutcome>),
}

pub(crate) use Answer::{
    Cancelled, Closed, Grant, Guard, Left, Merged, Nothing, Poll, Step, Waited,
};

/// Events since a wait began.
#[derive(Clone, Copy, Default)]
struct Since {
    drained: bool,
    cancelled: bool,
}

impl Since {
    fn outcome(self) -> Option<WaitOutcome> {
        if self.drained {
            // The drain that was waited for has ended, whatever came before.
            return Some(WaitOutcome::Drained);
        }
        self.cancelled.then_some(WaitOutcome::Cancelled)
    }
}

/// A guard.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// How many protections it is.
    n: u32,
    /// Whether it can be split.
    many: bool,
}

pub(crate) struct Model {
    plain: bool,
    pub(crate) state: State,
    /// The number taken less the number released. Negative only by misuse.
    pub(crate) held: i64,
    pub(crate) guards: Vec<Option<Kept>>,
    drains: Vec<Option<Since>>,
    pub(crate) generation: usize,
    /// The completion that is left with it, and how often each has run.
    left: Option<usize>,
    pub(crate) runs: [usize; 2],
    /// The misuses that this call must report, and how often it must wake.
    pub(crate) misuses: Vec<(i64, u64)>,
    pub(crate) wakes: usize,
    /// Of a born-closed object: its slots were never closed, so opening it finds releases there.
    never_closed: bool,
}

impl Model {
    pub(crate) fn new(plain: bool, born_closed: bool) -> Self {
        Self {
            plain,
            state: if born_closed { State::RunDown } else { State::Open },
            held: 0,
            guards: Vec::new(),
            drains: Vec::new(),
            generation: 0,
            left: None,
            runs: [0; 2],
            misuses: Vec::new(),
            wakes: 0,
            never_closed: born_closed,
        }
    }

    /// The call as it can be made, if it can.
    pub(crate) fn legal(&self, call: Call) -> Option<Call> {
        let in_guards = self.guards.iter().flatten().map(|kept| i64::from(kept.n));
        let in_guards: i64 = in_guards.sum();
        let guard = |number| {
            let number = there(&self.guards, number)?;
            self.guards[number].map(|kept| (number, kept))
        };
        let many = |number| guard(number).filter(|(_, kept)| kept.many);
        let drain = |number| there(&self.drains, number);
        // After an over-release, a guard may hold nothing.
        let is_held = self.held > 0 && self.held >= in_guards;
        Some(match call {
            Call::BornClosed => return None,
            Call::AcquireHeld(_) if !is_held => return None,
            Call::Release(n) => {
                let free = u32::try_from(self.held - in_guards).unwrap_or(0);
                if free == 0 && n > 0 {
                    return None;
                }
                Call::Release(free.min(n))
            }
            Call::Clone(number) => {
                let (number, kept) = guard(number)?;
                if kept.n > 0 && !is_held {
                    return None;
                }
                Call::Clone(number)
            }
            Call::Drop(number) => Call::Drop(guard(number)?.0),
            Call::Split(number, n) => {
                let (number, kept) = many(number)?;
                Call::Split(number, kept.n.min(n))
            }
            Call::TakeOne(number) => Call::TakeOne(many(number)?.0),
            Call::Merge(one, other) => {
                let (one, other) = (many(one)?.0, many(other)?.0);
                if one == other {
                    return None;
                }
                Call::Merge(one, other)
            }
            Call::DrainOf(number) => Call::DrainOf(number.min(self.generation)),
            Call::Poll(number) => Call::Poll(drain(number)?),
            Call::DropDrain(number) => Call::DropDrain(drain(number)?),
            any => any,
        })
    }

    pub(crate) fn answer(&mut self, call: Call) -> Answer {
        match call {
            Call::BornClosed | Call::On(_) => return Nothing,
            Call::Acquire(n) => return Grant(self.acquire(n)),
            Call::AcquireHeld(n) => return Grant(self.acquire_held(n)),
            Call::Release(n) => self.release(n),
            Call::OverRelease(more) => self.release(u32::try_from(self.held).unwrap_or(0) + more),
            Call::One => {
                let granted = self.acquire(1).is_ok();
                return self.keep(granted.then_some(Kept { n: 1, many: false }));
            }
            Call::Many(n) => {
                let granted = self.acquire(n).is_ok();
                return self.keep(granted.then_some(Kept { n, many: true }));
            }
            Call::Clone(number) => {
                let clone = self.guards[number];
                let granted = clone.is_some_and(|kept| self.acquire_held(kept.n).is_ok());
                return self.keep(clone.filter(|_| granted));
            }
            Call::Drop(number) => {
                let n = self.guards[number].take().map_or(0, |kept| kept.n);
                self.release(n);
            }
            Call::Split(number, n) => return self.hand_over(number, Kept { n, many: true }),
            Call::TakeOne(number) => return self.hand_over(number, Kept { n: 1, many: false }),
            Call::Merge(one, other) => return Merged(self.merge(one, other).is_some()),
            Call::Close => return Closed(self.close(None)),
            Call::CloseThen(which) => return Left(self.close_then(which)),
            Call::Cancel => return Cancelled(self.cancel()),
            Call::Complete => return Step(self.complete()),
            Call::Reinit => return Step(self.reopen(self.is_drained())),
            Call::Open => return Step(self.reopen(self.state == State::RunDown)),
            Call::TryWait | Call::Wait => {
                self.close(None);
                return Waited(match self.is_drained() {
                    true => Ok(WaitOutcome::Drained),
                    false => Err((self.state, self.held)),
                });
            }
            Call::Drain => self.wait_for(self.generation),
            Call::DrainOf(generation) => self.wait_for(generation),
            Call::Poll(number) => return Poll(self.drains[number].and_then(Since::outcome)),
            Call::DropDrain(number) => self.drains[number] = None,
        }
        Nothing
    }

    fn acquire(&mut self, n: u32) -> Result<(), Refused> {
        if self.state != State::Open {
            return Err(Refused::Closed);
        }
        self.add(n)
    }

    /// In any state of the object (S12).
    fn acquire_held(&mut self, n: u32) -> Result<(), Refused> {
        if n > 0 { self.add(n) } else { Ok(()) }
    }

    fn add(&mut self, n: u32) -> Result<(), Refused> {
        let sum = self.held + i64::from(n);
        // The others' capacity is tested in `capacity` and `per_cpu`.
        if self.plain && sum > Rundown::<Plain>::CAPACITY.cast_signed() {
            return Err(Refused::Full);
        }
        self.held = sum;
        Ok(())
    }

    fn keep(&mut self, kept: Option<Kept>) -> Answer {
        if kept.is_some() {
            self.guards.push(kept);
        }
        Guard(kept.map(|kept| kept.n))
    }

    /// Never touches the object.
    fn hand_over(&mut self, number: usize, part: Kept) -> Answer {
        let whole = self.guards[number].as_mut();
        let rest = whole.and_then(|whole| Some((whole.n.checked_sub(part.n)?, whole)));
        let handed_over = rest.map(|(rest, whole)| {
            whole.n = rest;
            part
        });
        self.keep(handed_over)
    }

    fn merge(&mut self, one: usize, other: usize) -> Option<()> {
        let sum = self.guards[one]?.n.checked_add(self.guards[other]?.n)?;
        self.guards[one].as_mut()?.n = sum;
        self.guards[other] = None;
        Some(())
    }

    fn release(&mut self, n: u32) {
        let (before, released) = (self.held, u64::from(n));
        let too_many = before < i64::from(n);
        match self.state {
            _ if n == 0 => {}
            State::Open if too_many && self.plain => self.misuses.push((before, released)),
            State::Open => self.held -= i64::from(n),
            State::Draining if too_many => {
                self.misuses.push((before, released));
                // The plain variant ignores the call.
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
        (self.state, self.held) = (State::Drained, 0);
        self.wakes += 1;
        for since in self.drains.iter_mut().flatten() {
            since.drained = true;
        }
        if let Some(which) = self.left.take() {
            self.runs[which] += 1;
        }
    }

    fn close(&mut self, then: Option<usize>) -> CloseOutcome {
        if self.state != State::Open {
            return CloseOutcome::AlreadyClosed;
        }
        (self.state, self.left) = (State::Draining, then);
        if self.held < 0 {
            self.misuses.push((0, self.held.unsigned_abs()));
        }
        if self.held <= 0 {
            self.drained();
            // Closed and drained in one step, which no waiter can sleep through.
            self.wakes -= usize::from(self.plain && then.is_none());
        }
        CloseOutcome::Closed
    }

    fn close_then(&mut self, which: usize) -> Result<(), CloseThenError> {
        match self.state {
            State::Draining if self.left.is_some() => return Err(CloseThenError::Occupied),
            State::Draining => self.left = Some(which),
            State::Open => _ = self.close(Some(which)),
            found => return Err(CloseThenError::WrongState(WrongState { found })),
        }
        Ok(())
    }

    fn cancel(&mut self) -> Result<Option<usize>, WrongState> {
        self.only_if(self.state == State::Draining)?;
        self.state = State::Open;
        self.wakes += 1;
        for since in self.drains.iter_mut().flatten() {
            since.cancelled = true;
        }
        Ok(self.left.take())
    }

    fn complete(&mut self) -> Result<(), WrongState> {
        self.only_if(self.is_drained())?;
        self.state = State::RunDown;
        Ok(())
    }

    fn reopen(&mut self, legal: bool) -> Result<(), WrongState> {
        self.only_if(legal)?;
        if self.held < 0 {
            self.misuses.push((0, self.held.unsigned_abs()));
        }
        (self.state, self.held, self.never_closed) = (State::Open, 0, false);
        self.generation += 1;
        self.wakes += 1;
        Ok(())
    }

    fn only_if(&self, legal: bool) -> Result<(), WrongState> {
        let found = self.state;
        if legal { Ok(()) } else { Err(WrongState { found }) }
    }

    fn wait_for(&mut self, generation: usize) {
        let over = generation != self.generation;
        if !over {
            self.close(None);
        }
        self.drains.push(Some(Since { drained: over || self.is_drained(), cancelled: false }));
    }

    pub(crate) fn is_drained(&self) -> bool {
        matches!(self.state, State::Drained | State::RunDown)
    }
}

/// The number of the first from there on, and around, that is still there.
fn there<T>(all: &[Option<T>], number: usize) -> Option<usize> {
    let from = number % all.len().max(1);
    let mut numbers = (from..all.len()).chain(0..from);
    numbers.find(|&number| all[number].is_some())
}
