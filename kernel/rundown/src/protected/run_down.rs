//! The way out: [`RunDown`], a run-down in progress, and [`Retired`], its end.
//!
//! `unsafe` here: a pinned field, and the value under a claim.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use super::error::{ReplaceError, RunDownError};
use super::value::Protected;
use crate::drain::Drain;
use crate::platform::{AsyncPlatform, Clock, Wait};
use crate::state::{State, WaitOutcome};
use crate::variant::Variant;
use crate::word::{Generation, Phase, Snapshot};

impl<T, V: Variant> Protected<T, V> {
    /// Closes the object, waits until every guard is dropped, and takes the value out. Until a deadline, or
    /// as a future: [`begin_run_down`](Self::begin_run_down), then [`Retired::take`].
    ///
    /// Thread context only, and not while the caller holds a guard: it would wait for itself.
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
            None => Err(RunDownError::Outstanding(run_down.drain.outstanding())),
        }
    }

    /// Closes the object, waits until every guard is dropped, and opens it again with `value`;
    /// returns the one before. Users are refused in between. With a deadline or as a future:
    /// [`begin_run_down`](Self::begin_run_down), then [`Retired::replace`].
    ///
    /// Thread context only, and not while the caller holds a guard: it would wait for itself.
    ///
    /// # Errors
    /// As for [`run_down`](Self::run_down); `value` comes back.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn replace(&self, policy: &dyn Wait, value: T) -> Result<T, ReplaceError<T>> {
        match self.begin_run_down().wait(policy) {
            Ok(retired) => retired.replace(value),
            Err(reason) => Err(ReplaceError { value, reason }),
        }
    }

    /// Closes the object and starts to wait: the [`RunDown`] can be polled, awaited, or waited for with a
    /// policy. Never waits for it itself; legal where [`close`](crate::Rundown::close) is.
    pub fn begin_run_down(&self) -> RunDown<'_, T, V> {
        RunDown {
            protected: self,
            drain: self.drain(),
        }
    }

    /// Like [`begin_run_down`](Self::begin_run_down), but for one generation only: if the object has been
    /// published again since, it is left alone, and the end is [`RunDownError::Taken`]. For an owner that
    /// may come late.
    pub fn begin_run_down_of(&self, generation: Generation) -> RunDown<'_, T, V> {
        RunDown {
            protected: self,
            drain: self.drain_of(generation),
        }
    }
}

/// A run-down that has begun, from [`Protected::begin_run_down`]. With an
/// [`AsyncPlatform`] it is a future, as [`Drain`] is.
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
#[must_use = "closing has begun, but nothing waits"]
pub struct RunDown<'a, T, V: Variant> {
    protected: &'a Protected<T, V>,
    drain: Drain<'a, V>,
}

impl<'a, T, V: Variant> RunDown<'a, T, V> {
    /// Whether the object has drained, and how the wait ended. Never waits; see [`Drain::poll`].
    ///
    /// # Errors
    /// As for [`Protected::run_down`]; but `Ok` says only that the generation has drained. Whether another
    /// caller has taken its value, [`Retired::take`] and [`Retired::replace`] say.
    pub fn poll(&mut self) -> Option<Result<Retired<'a, T, V>, RunDownError>> {
        let outcome = self.drain.poll()?;
        Some(self.end(outcome))
    }

    /// Waits as `policy` does. Contexts as for [`Protected::run_down`].
    ///
    /// # Errors
    /// As for [`poll`](Self::poll).
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait(&mut self, policy: &dyn Wait) -> Result<Retired<'a, T, V>, RunDownError> {
        let outcome = self.drain.wait(policy);
        self.end(outcome)
    }

    /// Waits as `policy` does, at most until the platform's clock has reached `deadline`. May be called
    /// again.
    ///
    /// # Errors
    /// As for [`poll`](Self::poll), and [`RunDownError::Outstanding`], which says how many guards are
    /// still out. The object stays closed then: wait again, or [cancel](crate::Rundown::cancel).
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait_deadline(
        &mut self,
        policy: &dyn Wait,
        deadline: u64,
    ) -> Result<Retired<'a, T, V>, RunDownError>
    where
        V::Platform: Clock,
    {
        let outcome = self
            .drain
            .wait_deadline(policy, deadline)
            .map_err(RunDownError::Outstanding)?;
        self.end(outcome)
    }

    fn end(&self, outcome: WaitOutcome) -> Result<Retired<'a, T, V>, RunDownError> {
        match outcome {
            WaitOutcome::Drained => Ok(Retired {
                protected: self.protected,
                generation: self.drain.generation().ok_or(RunDownError::Taken)?,
            }),
            WaitOutcome::Cancelled => Err(RunDownError::Cancelled),
            WaitOutcome::IllegalContext => Err(RunDownError::IllegalContext),
        }
    }
}

impl<'a, T, V: Variant<Platform: AsyncPlatform>> Future for RunDown<'a, T, V> {
    type Output = Result<Retired<'a, T, V>, RunDownError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `drain` is not moved; the other field needs no pinning.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: the future is pinned, and so is its field.
        let drain = unsafe { Pin::new_unchecked(&mut this.drain) };
        let outcome = ready!(Future::poll(drain, context));
        Poll::Ready(this.end(outcome))
    }
}

impl<T, V: Variant> fmt::Debug for RunDown<'_, T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunDown").field(&self.drain).finish()
    }
}

/// A generation of an object that has drained: what [`RunDown`] ends in. Of all callers that run it down, the first
/// to take or replace its value gets it; until then that is still in the object.
///
/// Dropping it leaves the object drained, with its value.
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

    /// Puts `value` in the place of the one before, which it returns, and opens the object. Never waits;
    /// any context (for a [lazy](crate::PerCpuRundown::lazy) object that has never been open, those of
    /// [`prepare`](crate::PerCpuRundown::prepare)).
    ///
    /// # Errors
    /// [`RunDownError::Taken`] if another caller was first, or [`RunDownError::NoCounter`]; `value` comes
    /// back.
    pub fn replace(self, value: T) -> Result<T, ReplaceError<T>> {
        // Only a lazy object that has never been open may need a counter.
        let no_counter = RunDownError::NoCounter;
        let claimed = (self.protected).claim_to_open(|seen| self.holds_a_value(seen), no_counter);
        let epoch = match claimed {
            Ok(epoch) => epoch,
            Err(reason) => return Err(ReplaceError { value, reason }),
        };
        // SAFETY: claimed, after the object had drained.
        let before = unsafe { self.protected.put(Some(value)) };
        self.protected.reopen(epoch);
        Ok(before.expect("a drained object holds a value"))
    }

    /// By the generation: if another caller took the value and published the next one, that is not for
    /// this caller. An object that was born closed and has never been open holds its value, too.
    fn holds_a_value(&self, seen: Snapshot) -> bool {
        let full = seen.state == State::Drained || seen.word.phase() == Phase::RunDown;
        seen.epoch.generation == self.generation && full
    }
}

impl<T, V: Variant> fmt::Debug for Retired<'_, T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Retired({})", self.protected.id())
    }
}
