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
#[cfg(not(rundown_loom))]
use crate::cache_aware::{CacheAwareRundown, Slot};
use crate::drain::Drain;
use crate::guard::RefGuard;
use crate::lifecycle;
#[cfg(not(rundown_loom))]
use crate::plain::RundownRef;
#[cfg(not(rundown_loom))]
use crate::platform::Platform;
use crate::platform::{AsyncPlatform, Clock, ObjectId, Wait};
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
        /// Puts `value` behind `rundown`. If that was born closed, so is the object, until it is
        /// [opened](Self::open).
        pub fn new(rundown: R, value: T) -> Self {
            Self { rundown, value: UnsafeCell::new(Some(value)) }
        }
    }

    /// Without a value as yet: [`publish`](Self::publish) puts the first one in.
    ///
    /// # Panics
    /// If `rundown` is not run down, as one that is born closed is: an open object must hold a value.
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

    /// Which object this is to its [`Platform`](crate::Platform), and to
    /// `diagnosis::holders`.
    pub fn id(&self) -> ObjectId {
        self.rundown.id()
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

    /// Like [`run_down`](Self::run_down), as a future. The object closes at once (or, if another caller
    /// has it [claimed](State::Claimed), at a later poll). If the future is dropped before its end,
    /// the object stays closed and the value in it.
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
        let before = unsafe { self.put(Some(value)) };
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
        let before = unsafe { self.put(Some(value)) };
        lifecycle::reopen(&self.rundown, era);
        // `None`, unless `new` was given a rundown that was run down. Only now, so that a destructor
        // that panics does no harm.
        drop(before);
        Ok(())
    }

    /// Opens an object that was born closed, with the value that it was given (S9). Never waits; legal
    /// in any context.
    ///
    /// # Errors
    /// [`WrongState`] if it is not run down; and, with [`State::RunDown`] found, if it holds no value:
    /// then [`publish`](Self::publish) one. Nothing changed, but to find out it was
    /// [claimed](State::Claimed) for a moment.
    pub fn open(&self) -> Result<(), WrongState> {
        let era = lifecycle::claim(&self.rundown, |seen| seen.state == State::RunDown)?;
        // SAFETY: claimed: nobody moves the value.
        let vacant = self.value.with(|value| unsafe { (*value).is_none() });
        if vacant {
            lifecycle::mark_run_down(&self.rundown, era);
            return Err(WrongState {
                found: State::RunDown,
            });
        }
        lifecycle::reopen(&self.rundown, era);
        Ok(())
    }

    /// The way out of the object, after a wait for the end of `era`.
    fn take_after(&self, outcome: WaitOutcome, era: Option<Era>) -> Result<T, RunDownError> {
        let era = self.claim_after(outcome, era)?;
        // SAFETY: claimed, after the object had drained.
        let value = unsafe { self.put(None) };
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
    unsafe fn put(&self, value: Option<T>) -> Option<T> {
        self.value
            // SAFETY: nobody else has access, as promised.
            .with_mut(|place| core::mem::replace(unsafe { &mut *place }, value))
    }
}

#[cfg(not(rundown_loom))]
impl<T, R: BornClosed> Protected<T, R> {
    /// Without a value as yet, for a static: [`publish`](Self::publish) puts the first one in.
    ///
    /// ```
    /// use rundown::{HostPlatform, Protected, RundownRef};
    ///
    /// static ROUTES: Protected<Vec<u32>, RundownRef<HostPlatform>> = Protected::vacant();
    /// assert!(ROUTES.try_acquire().is_none());
    /// ROUTES.publish(vec![1, 2, 3]).expect("run down");
    /// assert_eq!(ROUTES.try_acquire().expect("open").len(), 3);
    /// ```
    #[must_use]
    pub const fn vacant() -> Self {
        Self {
            rundown: R::BORN_CLOSED,
            value: UnsafeCell::new(None),
        }
    }
}

/// A kind that can be made, run down, from nothing (S9): what [`Protected::vacant`] asks for. Only this
/// crate's kinds have it, as [`Rundown`] is sealed; guards rely on it.
#[cfg(not(rundown_loom))]
pub trait BornClosed: Rundown + Sized {
    /// Such an object.
    const BORN_CLOSED: Self;
}

#[cfg(not(rundown_loom))]
impl<P: Platform> BornClosed for RundownRef<P> {
    const BORN_CLOSED: Self = Self::closed();
}

#[cfg(not(rundown_loom))]
impl<P: Platform, const N: usize> BornClosed for CacheAwareRundown<P, [Slot; N]> {
    const BORN_CLOSED: Self = Self::new().born_closed();
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
