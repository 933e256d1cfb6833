//! What can keep an owner from its value.

use core::fmt;

use crate::outstanding::Outstanding;
use crate::state::{IllegalContext, WrongState};

/// Why an owner did not get the value out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunDownError {
    /// The value was, or is being, taken out by another caller.
    Taken,
    /// The drain was [cancelled](crate::Protected::cancel): the object is open.
    Cancelled,
    /// Guards are still out, and the deadline has passed, or there was none. The object stays closed.
    Outstanding(Outstanding),
    /// The object is [lazy](crate::PerCpuRundown::lazy), and the system has no counter to open it with:
    /// [`prepare`](crate::PerCpuRundown::prepare) says why. Its value is still in it.
    NoCounter,
    /// The per-CPU variant cannot be closed in this context: see
    /// [`CloseOutcome::IllegalContext`](crate::CloseOutcome::IllegalContext).
    IllegalContext,
}

impl fmt::Display for RunDownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("another caller has run the object down"),
            Self::Cancelled => f.write_str("the drain was cancelled: the object is open"),
            Self::Outstanding(outstanding) => write!(f, "guards are still out: {outstanding}"),
            Self::NoCounter => f.write_str("there is no per-CPU counter to open the object with"),
            Self::IllegalContext => IllegalContext.fmt(f),
        }
    }
}

impl core::error::Error for RunDownError {}

/// The object could not be published, because it is not run down, or holds a value.
pub struct PublishError<T> {
    /// The value, given back.
    pub value: T,
    /// The state that was found.
    pub reason: WrongState,
}

impl<T> fmt::Debug for PublishError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PublishError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not run down: {}", self.reason)
    }
}

impl<T> core::error::Error for PublishError<T> {}

/// The value could not be replaced.
pub struct ReplaceError<T> {
    /// The new value, given back.
    pub value: T,
    /// Why the one before could not be taken out.
    pub reason: RunDownError,
}

impl<T> fmt::Debug for ReplaceError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplaceError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for ReplaceError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not replaced: {}", self.reason)
    }
}

impl<T> core::error::Error for ReplaceError<T> {}
