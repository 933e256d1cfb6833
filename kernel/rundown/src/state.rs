//! The states of a rundown object, as users see them, and what calls answer.

use core::fmt;

use crate::platform::ObjectId;

/// Where an object stands in its life. What [`Rundown::state`](crate::Rundown::state) returns is a
/// snapshot: other CPUs may have moved on already. (The cache-aware kind reads two words for it: if it
/// is drained, claimed and opened in between, the answer is `Closing`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Grants protection.
    Open,
    /// Closed: refuses new protection. One caller is still counting what is held (in `close`), or is
    /// about to open the object again (in `cancel`). A short, bounded step; the plain kind has no
    /// need of it. Lasts for ever after [`Misuse::OutOfRange`], and while more than 2^61 are held.
    Closing,
    /// Closed. Some protection that it granted is still held.
    Draining,
    /// Closed, and everything granted has been released.
    Drained,
    /// Drained, and marked so by [`complete`](crate::Rundown::complete), or by
    /// [`Protected::run_down`](crate::Protected::run_down) taking the value out; or born closed.
    RunDown,
    /// Drained, and one caller is changing that right now: it re-opens the object or takes its
    /// value out. A short, bounded step.
    Claimed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::RunDown => "run down",
            Self::Claimed => "claimed",
        })
    }
}

/// What [`close`](crate::Rundown::close) did. None of these is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseOutcome {
    /// This call closed the object.
    Closed,
    /// It was closed before; nothing changed.
    AlreadyClosed,
    /// It was closed before, and another caller's re-init (or value removal) is under way; nothing
    /// changed. What is in progress is later in the order than this close, so it wins: the object
    /// will be open, or run down.
    Superseded,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "after a cancelled drain the object is in use again"]
pub enum WaitOutcome {
    /// Everything that was granted before the object closed is released. What was done under
    /// protection happens-before the return.
    Drained,
    /// [`cancel`](crate::Rundown::cancel) has opened the object again: it is in use (S10).
    Cancelled,
}

/// Why an acquire was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The object is closed.
    Closed,
    /// The object is open but cannot count that many more: see
    /// [`RundownRef::CAPACITY`](crate::RundownRef::CAPACITY) and
    /// [`Slot::CAPACITY`](crate::Slot::CAPACITY).
    Full,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the object is closed",
            Self::Full => "the object cannot count so many protections",
        })
    }
}

impl core::error::Error for Refused {}

/// The call is illegal in the state the object is in. It changed nothing (S8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WrongState {
    /// The state that was found.
    pub found: State,
}

impl fmt::Display for WrongState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not legal while the object is {}", self.found)
    }
}

impl core::error::Error for WrongState {}

/// The object has not drained yet.
///
/// With feature `diagnosis`, its `Display` also lists who holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outstanding {
    /// Which object.
    pub object: ObjectId,
    /// The state it was found in.
    pub state: State,
    /// How many protections were held a moment ago. As racy as
    /// [`racy_held`](crate::Rundown::racy_held).
    pub held: i64,
}

impl fmt::Display for Outstanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the object at {} is {}, {} held",
            self.object, self.state, self.held
        )?;
        crate::diagnosis::list_holders(self.object, f)
    }
}

impl core::error::Error for Outstanding {}

/// A broken promise of a caller, given to [`Platform::misuse`](crate::Platform::misuse).
///
/// Safe code cannot bring about the first. It can the second, with 2^29 calls that take or release
/// `u32::MAX` at once on CPUs of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// More was released than was held (S7). The plain kind finds it in the very call and ignores
    /// the call; the others find it when the object closes or drains. (One release too many while
    /// others hold takes away one of theirs: no counter can tell. It is found when they release.)
    OverRelease {
        /// Which object.
        object: ObjectId,
        /// How many were held.
        held: i64,
        /// How many were released: by the call that found it, or, found while closing, in excess.
        released: u64,
    },
    /// A slot, or the sum of them all, left the range that it can count
    /// ([`Slot::CAPACITY`](crate::Slot::CAPACITY)).
    OutOfRange {
        /// Which object.
        object: ObjectId,
    },
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverRelease {
                object,
                held,
                released,
            } => write!(
                f,
                "rundown: {released} released but {held} held, on the object at {object}"
            ),
            Self::OutOfRange { object } => {
                write!(
                    f,
                    "rundown: a count is out of range, on the object at {object}"
                )
            }
        }
    }
}
