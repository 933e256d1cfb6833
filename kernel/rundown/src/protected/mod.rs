//! A value behind rundown protection: [`Protected`].

mod error;
mod future;
mod guard;
#[cfg(feature = "alloc")]
mod owner;

use core::fmt;

pub use self::error::{PublishError, ReplaceError, RunDownError};
pub use self::future::RunDownFuture;
pub use self::guard::{Guard, MappedGuard};
#[cfg(feature = "alloc")]
pub use self::owner::{Handle, Owner};
use crate::cache_aware::{CacheAwareRundown, Slot};
use crate::drain::Drain;
use crate::guard::RefGuard;
use crate::lifecycle;
use crate::plain::RundownRef;
use crate::platform::{AsyncPlatform, Clock, Platform, Wait};
use crate::primitive::{UnsafeCell, const_unless_model};
use crate::rundown::Rundown;
use crate::state::{CloseOutcome, State, WaitOutcome, WrongState};
use crate::word::Era;

/// A `T` that users share under protection and the owner can take out again.
///
/// Invariant: an open object holds a value, and so do its draining and drained states; only the
/// caller who has [claimed](State::Claimed) the object takes the value out or puts one in.
pub struct Protected<T, R: Rundown> {
    rundown: R,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is reached by reference under protection, from many threads (`T: Sync`), and by
// move under a claim, which excludes protection, from whichever thread (`T: Send`). The rundown is
// `Sync` itself.
unsafe impl<T: Send + Sync, R: Rundown> Sync for Protected<T, R> {}

impl<T, R: Rundown> Protected<T, R> {
    const_unless_model! {
        /// Puts `value` behind `rundown`. If that is not open, the object starts in the state it is
        /// in.
        pub fn new(rundown: R, value: T) -> Self {
            Self { rundown, value: UnsafeCell::new(Some(value)) }
        }
    }

    /// Without a value as yet: [`publish`](Self::publish) puts the first one in.
    ///
    /// # Panics
    /// If `rundown` was not born closed: an open object must hold a value.
    pub fn vacant_with(rundown: R) -> Self {
        assert_eq!(
            rundown.state(),
            State::RunDown,
            "an object without a value must be born closed"
        );
        Self {
            rundown,
            value: UnsafeCell::new(None),
        }
    }

    /// Takes protection and gives access to the value, or `None` if the object is closed (or
    /// [full](crate::Refused::Full)).
    ///
    /// Legal in any context, NMI included (S5).
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire(&self) -> Option<Guard<'_, T, R>> {
        self.rundown.take_references(1).ok()?;
        // SAFETY: protection was granted, just now.
        Some(unsafe { Guard::new(self, RefGuard::new(&self.rundown)) })
    }

    /// Refuses protection from now on. [`run_down`](Self::run_down) does it, too; on its own, this
    /// tells the moment of closing from that of draining. Never waits; legal in any context.
    pub fn close(&self) -> CloseOutcome {
        self.rundown.close()
    }

    /// Opens a draining object again, value and guards as they are. See [`Rundown::cancel`].
    ///
    /// # Errors
    /// [`WrongState`] if it is not draining; nothing changed.
    pub fn cancel(&self) -> Result<(), WrongState> {
        self.rundown.cancel()
    }

    /// Closes the object and waits until it is drained, but leaves the value in. See
    /// [`Rundown::drain`] for what else can be done with the [`Drain`]: poll it, await it, wait until
    /// a deadline.
    pub fn drain(&self) -> Drain<'_, R> {
        self.rundown.drain()
    }

    /// Closes the object and waits until it is drained, but leaves the value in. Thread context,
    /// without a guard.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait<W: Wait + ?Sized>(&self, policy: &W) -> WaitOutcome {
        self.rundown.wait(policy)
    }

    /// Whether the object is closed and no guard is out.
    pub fn is_drained(&self) -> bool {
        self.rundown.is_drained()
    }

    /// A snapshot of the life cycle.
    pub fn state(&self) -> State {
        self.rundown.state()
    }

    /// How many guards are out. See [`Rundown::racy_held`].
    pub fn racy_held(&self) -> i64 {
        self.rundown.racy_held()
    }

    /// Closes the object, waits until every guard is dropped, and takes the value out.
    ///
    /// Thread context only, and not while the caller holds a guard: it would wait for itself.
    ///
    /// # Errors
    /// Any number of callers may run the object down; all wait, and one gets the value. The others,
    /// and those who come when it has been taken, get [`RunDownError::Taken`]; if the drain was
    /// cancelled, all get [`RunDownError::Cancelled`].
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn run_down<W: Wait + ?Sized>(&self, policy: &W) -> Result<T, RunDownError> {
        let mut drain = self.rundown.drain();
        let outcome = drain.wait(policy);
        self.take_after(outcome, drain.era())
    }

    /// Like [`run_down`](Self::run_down), but gives up when the platform's clock has reached
    /// `deadline`. The object stays closed then: run it down again, or [`cancel`](Self::cancel).
    ///
    /// # Errors
    /// As there, and [`RunDownError::TimedOut`], which says how many guards are still out.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn run_down_deadline<W: Wait + ?Sized>(
        &self,
        policy: &W,
        deadline: u64,
    ) -> Result<T, RunDownError>
    where
        R::Platform: Clock,
    {
        let mut drain = self.rundown.drain();
        let outcome = drain
            .wait_deadline(policy, deadline)
            .map_err(RunDownError::TimedOut)?;
        self.take_after(outcome, drain.era())
    }

    /// Like [`run_down`](Self::run_down), as a future. The object closes at once. If the future is
    /// dropped before its end, the object stays closed and the value in it.
    pub fn run_down_async(&self) -> RunDownFuture<'_, T, R>
    where
        R::Platform: AsyncPlatform,
    {
        RunDownFuture::new(self)
    }

    /// Closes the object, waits until every guard is dropped, and opens it again with `value`;
    /// returns the one before. Users are refused in between.
    ///
    /// Thread context only, and not while the caller holds a guard: it would wait for itself.
    ///
    /// # Errors
    /// As for [`run_down`](Self::run_down); `value` comes back.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn replace<W: Wait + ?Sized>(&self, policy: &W, value: T) -> Result<T, ReplaceError<T>> {
        let mut drain = self.rundown.drain();
        let outcome = drain.wait(policy);
        let era = match self.claim_after(outcome, drain.era()) {
            Ok(era) => era,
            Err(reason) => return Err(ReplaceError { value, reason }),
        };
        // SAFETY: claimed, after the object had drained.
        let before = unsafe { self.swap(Some(value)) };
        lifecycle::reopen(&self.rundown, era);
        Ok(before.expect("a drained object holds a value"))
    }

    /// Opens a run-down object again, with a new value. Never waits; legal in any context.
    ///
    /// # Errors
    /// If the object is not run down, the value comes back, and nothing changed.
    pub fn publish(&self, value: T) -> Result<(), PublishError<T>> {
        let claim = lifecycle::claim(&self.rundown, |seen| seen.state == State::RunDown);
        let era = match claim {
            Ok(era) => era,
            Err(reason) => return Err(PublishError { value, reason }),
        };
        // SAFETY: claimed, and run down before.
        let before = unsafe { self.swap(Some(value)) };
        lifecycle::reopen(&self.rundown, era);
        // `None`, unless `new` was given a rundown that was run down. Only now, so that a destructor
        // that panics does no harm.
        drop(before);
        Ok(())
    }

    /// The way out of the object, after a wait for the end of `era`.
    fn take_after(&self, outcome: WaitOutcome, era: Option<Era>) -> Result<T, RunDownError> {
        let era = self.claim_after(outcome, era)?;
        // SAFETY: claimed, after the object had drained.
        let value = unsafe { self.swap(None) };
        lifecycle::mark_run_down(&self.rundown, era);
        value.ok_or(RunDownError::Taken)
    }

    /// Claims the drained object for whoever waited for the end of `era`. By its life: if somebody
    /// else took the value and published another, that one is not for this caller.
    fn claim_after(&self, outcome: WaitOutcome, era: Option<Era>) -> Result<Era, RunDownError> {
        if outcome == WaitOutcome::Cancelled {
            return Err(RunDownError::Cancelled);
        }
        let life = era.ok_or(RunDownError::Taken)?.life;
        lifecycle::claim(&self.rundown, |seen| {
            seen.era.life == life && seen.state == State::Drained
        })
        .map_err(|_| RunDownError::Taken)
    }

    /// # Safety
    /// The caller has claimed the object: it is drained, so no guard reaches the value and all they
    /// did happens-before this (S2), and nobody else moves it.
    unsafe fn swap(&self, value: Option<T>) -> Option<T> {
        self.value
            // SAFETY: nobody else has access, as promised.
            .with_mut(|place| core::mem::replace(unsafe { &mut *place }, value))
    }
}

impl<T, P: Platform> Protected<T, RundownRef<P>> {
    const_unless_model! {
        /// Without a value as yet, for a static: [`publish`](Self::publish) puts the first one in.
        #[must_use]
        pub fn vacant() -> Self {
            Self { rundown: RundownRef::closed(), value: UnsafeCell::new(None) }
        }
    }
}

impl<T, P: Platform, const N: usize> Protected<T, CacheAwareRundown<P, [Slot; N]>> {
    const_unless_model! {
        /// Without a value as yet, for a static: [`publish`](Self::publish) puts the first one in.
        #[must_use]
        pub fn vacant() -> Self {
            Self { rundown: CacheAwareRundown::new().born_closed(), value: UnsafeCell::new(None) }
        }
    }
}

/// Shows the value if protection is granted.
impl<T: fmt::Debug, R: Rundown + fmt::Debug> fmt::Debug for Protected<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Protected");
        debug.field("rundown", &self.rundown);
        match self.try_acquire() {
            Some(guard) => debug.field("value", &*guard).finish(),
            None => debug.finish_non_exhaustive(),
        }
    }
}
