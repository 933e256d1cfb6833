//! The states of a rundown object, as users see them and as the words encode them.

use core::fmt;

/// Where an object stands in its life. What [`Rundown::state`](crate::Rundown::state) returns is a
/// snapshot: other CPUs may have moved on already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Grants protection.
    Open,
    /// Closed: refuses new protection. Some that it granted is still held.
    Draining,
    /// Closed, and everything granted has been released.
    Drained,
    /// Drained, and marked so by [`complete`](crate::Rundown::complete), or by
    /// [`Protected::run_down`](crate::Protected::run_down) taking the value out.
    RunDown,
    /// Drained, and one caller is changing that right now: it re-opens the object or takes its
    /// value out. A short, bounded step.
    Claimed,
}

/// What [`close`](crate::Rundown::close) did. None of these is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOutcome {
    /// This call closed the object.
    Closed,
    /// It was closed before; nothing changed.
    AlreadyClosed,
    /// It was closed before, and another caller's re-init (or value removal) is under way; nothing
    /// changed. A re-init in progress is later in the order than this close, so it wins: the object
    /// will open.
    Superseded,
}

/// Why an acquire was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The object is closed.
    Closed,
    /// The object is open but holds as many references as its word can count
    /// ([`RundownRef::CAPACITY`](crate::RundownRef::CAPACITY); only the plain kind has such a limit
    /// in practice).
    Full,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the object is closed",
            Self::Full => "the object cannot count another reference",
        })
    }
}

impl core::error::Error for Refused {}

/// The call is illegal in the state the object is in. It changed nothing (S8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongState {
    /// The state that was found.
    pub found: State,
}

impl fmt::Display for WrongState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.found {
            State::Open => "the object is open",
            State::Draining => "the object is not drained yet",
            State::Drained => "the object is drained but not marked run down",
            State::RunDown => "the object is run down already",
            State::Claimed => "another caller is re-opening or emptying the object",
        })
    }
}

impl core::error::Error for WrongState {}

/// The part of a [`State`] that a word stores. `Draining` and `Drained` are both `Closed`: which of
/// them it is, the count says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open = 0,
    Closed = 1,
    RunDown = 2,
    Claimed = 3,
}

impl Phase {
    /// How many low bits of a word hold the phase.
    pub(crate) const BITS: u32 = 2;
    pub(crate) const MASK: u64 = (1 << Self::BITS) - 1;

    pub(crate) const fn of(word: u64) -> Self {
        match word & Self::MASK {
            0 => Self::Open,
            1 => Self::Closed,
            2 => Self::RunDown,
            _ => Self::Claimed,
        }
    }

    /// The state it means, given whether the count is zero.
    pub(crate) fn state(self, drained: impl FnOnce() -> bool) -> State {
        match self {
            Self::Open => State::Open,
            Self::Closed if drained() => State::Drained,
            Self::Closed => State::Draining,
            Self::RunDown => State::RunDown,
            Self::Claimed => State::Claimed,
        }
    }
}

/// Which life of the object: one more after every re-init. Waiters remember the cycle they wait
/// for, so that one who wakes up late does not wait for the next life's end (S6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle(pub(crate) u64);

/// One look at the life cycle, and the very word that was seen, for a compare-and-swap against it.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    pub(crate) state: State,
    pub(crate) cycle: Cycle,
    pub(crate) word: u64,
}
