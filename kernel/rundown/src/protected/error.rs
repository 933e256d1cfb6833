//! What can keep an owner from its value.

use core::fmt;

use crate::drain::Outstanding;
use crate::impls::display;
use crate::state::{IllegalContext, WrongState};

/// Why an owner did not get the value out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunDownError {
    /// Another caller was first: the value was, or is being, taken out, or the object was [opened
    /// again](crate::Rundown::reinit) with it.
    Taken,
    /// The drain was [cancelled](crate::Rundown::cancel): the object is open.
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

display! { error RunDownError:
    Self::Taken => "another caller has run the object down, or opened it again",
    Self::Cancelled => "the drain was cancelled: the object is open",
    Self::Outstanding(outstanding) => "guards are still out: {outstanding}",
    Self::NoCounter => "there is no per-CPU counter to open the object with",
    Self::IllegalContext => "{IllegalContext}",
}

/// Another caller's step came first.
impl From<WrongState> for RunDownError {
    fn from(_: WrongState) -> Self {
        Self::Taken
    }
}

/// A value that was not put in, given back.
pub struct Rejected<T, R> {
    /// The value.
    pub value: T,
    /// Why.
    pub reason: R,
}

/// The value could not be published, because the object is not run down, or holds one.
pub type PublishError<T> = Rejected<T, WrongState>;

/// The new value could not be put in, because the one before could not be taken out.
pub type ReplaceError<T> = Rejected<T, RunDownError>;

impl<T, R: fmt::Debug> fmt::Debug for Rejected<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T, R: fmt::Display> fmt::Display for Rejected<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the new value was not put in: {}", self.reason)
    }
}

impl<T, R: fmt::Debug + fmt::Display> core::error::Error for Rejected<T, R> {}
