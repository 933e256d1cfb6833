//! The way out: [`RunDown`], a run-down in progress, and [`Retired`], its end.
//!
//! `unsafe` here: the value under a claim.

use core::fmt;

use super::value::{Protected, Rejected};
use crate::drain::{Awaited, Outstanding, Waits};
use crate::platform::Wait;
use crate::state::{IllegalContext, State, WaitOutcome, WrongState};
use crate::variant::Variant;
use crate::word::{Epoch, Generation, Phase, Snapshot};

impl<T, V: Variant> Protected<T, V> {
    /// Closes the object, waits until every guard is dropped, and takes the value out. Until a
    /// deadline, or as a future: [`begin_run_down`](Self::begin_run_down), then [`Retired::take`].
    ///
    /// Thread context only, and not while the caller holds a guard.
    ///
    /// # Errors
    /// Any number of callers may run the object down; all wait, and one gets the value. The others,
    /// and those that come when it has been taken, get [`RunDownError::Taken`]; if the drain was
    /// cancelled, all get [`RunDownError::Cancelled`].
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn run_down(&self, policy: &dyn Wait) -> Result<T, RunDownError> {
        self.begin_run_down().wait(policy)?.take()
    }

    /// Like [`run_down`](Self::run_down), but never waits. The object is closed in any case.
    ///
    /// # Errors
    /// As there, and [`RunDownError::Outstanding`] if a guard is still out.
    pub fn try_run_down(&self) -> Result<T, RunDownError> {
        let mut run_down = self.begin_run_down();
        match run_down.poll() {
            Some(retired) => retired?.take(),
            None => Err(RunDownError::Outstanding(run_down.outstanding())),
        }
    }

    /// Like [`run_down`](Self::run_down), but then opens the object again with `value`, and returns
    /// the one before. Users are refused in between. With an error, `value` comes back.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn replace(&self, policy: &dyn Wait, value: T) -> Result<T, ReplaceError<T>> {
        match self.begin_run_down().wait(policy) {
            Ok(retired) => retired.replace(value),
            Err(reason) => Err(ReplaceError { value, reason }),
        }
    }

    /// Closes the object, and returns the wait as a [`RunDown`], to be polled, awaited, or waited
    /// for with a policy. Legal where [`close`](crate::Rundown::close) is.
    pub fn begin_run_down(&self) -> RunDown<'_, T, V> {
        RunDown::start(self, None)
    }

    /// Like [`begin_run_down`](Self::begin_run_down), but for one generation only, by an owner that
    /// may come late: if the object has been published again since, it is left alone, and
    /// [`Retired::take`] returns [`RunDownError::Taken`].
    pub fn begin_run_down_of(&self, generation: Generation) -> RunDown<'_, T, V> {
        RunDown::start(self, Some(generation.0))
    }
}

/// A run-down that has begun, from [`Protected::begin_run_down`]. With an
/// [`AsyncPlatform`](crate::AsyncPlatform) it is a future, as [`Drain`](crate::Drain) is.
///
/// Dropping it leaves the object closed, and the value in it.
///
/// ```
/// use std::time::Duration;
/// use rundown::{HostPlatform, Park, PlainRundown, Protected, RunDownError};
///
/// let routes = Protected::new(PlainRundown::<HostPlatform>::new(), vec![1, 2, 3]);
/// let mut run_down = routes.begin_run_down();
/// match run_down.wait_deadline(&Park, HostPlatform::after(Duration::from_secs(1))) {
///     Ok(retired) => drop(retired.replace(vec![4, 5, 6])),
///     Err(RunDownError::Outstanding(guards)) => println!("{guards}"), // waits again, or cancels
///     Err(error) => println!("{error}"),
/// }
/// assert_eq!(routes.try_acquire().expect("open")[0], 4);
/// ```
pub type RunDown<'a, T, V> = Waits<&'a Protected<T, V>>;

/// `Ok` says only that the generation has drained; [`Retired::take`] and [`Retired::replace`] say
/// whether another caller was first. The errors are as for [`Protected::run_down`]; with a
/// deadline, also [`RunDownError::Outstanding`].
impl<'a, T, V: Variant> Awaited for &'a Protected<T, V> {
    type End = Result<Retired<'a, T, V>, RunDownError>;
    type InTime = Self::End;

    fn end(&self, outcome: WaitOutcome, epoch: Option<Epoch>) -> Self::End {
        match outcome {
            WaitOutcome::Drained => Ok(Retired {
                protected: self,
                generation: epoch.ok_or(RunDownError::Taken)?.generation,
            }),
            WaitOutcome::Cancelled => Err(RunDownError::Cancelled),
            WaitOutcome::IllegalContext => Err(RunDownError::IllegalContext),
        }
    }

    fn in_time(end: Result<Self::End, Outstanding>) -> Self::End {
        end.map_err(RunDownError::Outstanding)?
    }
}

text!((<T, V: Variant> fmt::Debug for RunDown<'_, T, V>) this =>
    "RunDown(Drain({} is {}))", this.object(), this.outstanding().state);

/// A generation of an object that has drained: [`RunDown`] ends in it. Of all callers that run it
/// down, the first to take or replace its value gets it. Dropping this leaves it in the object.
#[must_use = "the value may still be in the object"]
pub struct Retired<'a, T, V: Variant> {
    protected: &'a Protected<T, V>,
    generation: u64,
}

impl<T, V: Variant> Retired<'_, T, V> {
    /// Takes the value out: the object is run down. Never waits; any context.
    ///
    /// # Errors
    /// [`RunDownError::Taken`] if another caller was first.
    pub fn take(self) -> Result<T, RunDownError> {
        let epoch = (self.protected).claim(|seen| self.holds_a_value(seen))?;
        // SAFETY: claimed, after the object had drained.
        let value = unsafe { self.protected.put(None) };
        self.protected.vacate(epoch);
        value.ok_or(RunDownError::Taken)
    }

    /// Puts `value` in the place of the one before, which it returns, and opens the object. Never
    /// waits; any context (for a [lazy](crate::PerCpuRundown::lazy) object that has never been
    /// open, those of [`prepare`](crate::PerCpuRundown::prepare)).
    ///
    /// # Errors
    /// [`RunDownError::Taken`] if another caller was first; [`RunDownError::NoCounter`].
    pub fn replace(self, value: T) -> Result<T, ReplaceError<T>> {
        let legal = |seen| self.holds_a_value(seen);
        match self.protected.claim_to_open(legal, RunDownError::NoCounter) {
            Ok(epoch) => {
                // SAFETY: claimed, after the object had drained.
                let before = unsafe { self.protected.put(Some(value)) };
                self.protected.reopen(epoch);
                Ok(before.expect("a drained object holds a value"))
            }
            Err(reason) => Err(ReplaceError { value, reason }),
        }
    }

    /// By the generation: a value that was published since is not for this caller. An object that
    /// was born closed and has never been open holds its value, too.
    fn holds_a_value(&self, seen: Snapshot) -> bool {
        let full = seen.state == State::Drained || seen.word.phase() == Phase::RunDown;
        seen.word.epoch().generation == self.generation && full
    }
}

text!((<T, V: Variant> fmt::Debug for Retired<'_, T, V>) this => "Retired({})", this.protected.id());

/// Why an owner did not get the value out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunDownError {
    /// Another caller was first: it took the value, or [re-opened](crate::Rundown::reinit) it.
    Taken,
    /// The drain was [cancelled](crate::Rundown::cancel): the object was opened again, and may have
    /// been closed since.
    Cancelled,
    /// Guards are still out, and the deadline, if any, has passed. The object stays closed.
    Outstanding(Outstanding),
    /// The object is [lazy](crate::PerCpuRundown::lazy), and the system has no counter to open it
    /// with: [`prepare`](crate::PerCpuRundown::prepare) says why. Its value is still in it.
    NoCounter,
    /// See [`CloseOutcome::IllegalContext`](crate::CloseOutcome::IllegalContext).
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

/// The new value could not be put in, because the one before could not be taken out.
pub type ReplaceError<T> = Rejected<T, RunDownError>;
