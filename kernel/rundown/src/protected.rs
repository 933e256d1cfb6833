//! A value behind rundown protection: [`Protected`] and its [`Guard`].

use core::fmt;
use core::ops::Deref;

use crate::lifecycle::{self, Rundown};
use crate::platform::Wait;
use crate::primitive::{UnsafeCell, const_unless_model};
use crate::state::{CloseOutcome, State, WrongState};

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

    /// Takes protection and gives access to the value, or `None` if the object is closed.
    ///
    /// Legal in any context, NMI included (S5).
    #[inline]
    pub fn try_acquire(&self) -> Option<Guard<'_, T, R>> {
        self.rundown
            .acquire()
            .ok()
            .map(|()| Guard { protected: self })
    }

    /// Refuses protection from now on. [`run_down`](Self::run_down) does it, too; on its own, this
    /// tells the moment of closing from that of draining. Never waits; legal in any context.
    pub fn close(&self) -> CloseOutcome {
        self.rundown.close()
    }

    /// Closes the object and waits until it is drained, but leaves the value in. Thread context,
    /// without a guard.
    pub fn wait<W: Wait + ?Sized>(&self, policy: &W) {
        self.rundown.wait(policy);
    }

    /// Whether the object is closed and no guard is out.
    pub fn is_drained(&self) -> bool {
        self.rundown.is_drained()
    }

    /// A snapshot of the life cycle.
    pub fn state(&self) -> State {
        self.rundown.state()
    }

    /// Closes the object, waits until every guard is dropped, and takes the value out.
    ///
    /// Thread context only, and not while the caller holds a guard: it would wait for itself.
    ///
    /// # Errors
    /// Any number of callers may run the object down; all wait, and one gets the value. The others,
    /// and those who come when it has been taken, get [`RunDownError`].
    pub fn run_down<W: Wait + ?Sized>(&self, policy: &W) -> Result<T, RunDownError> {
        let drained = lifecycle::drain(&self.rundown, policy);
        // By its cycle: if somebody else took the value and published another, that one is not for
        // us.
        let cycle = lifecycle::claim(&self.rundown, |seen| {
            seen.cycle == drained && seen.state == State::Drained
        })
        .map_err(|_| RunDownError)?;
        // SAFETY: the object is drained, so no guard reaches the value and all they did
        // happens-before this (S2); it is claimed, so nobody else moves it.
        let value = self.value.with_mut(|value| unsafe { (*value).take() });
        lifecycle::mark_run_down(&self.rundown, cycle);
        value.ok_or(RunDownError)
    }

    /// Opens a run-down object again, with a new value. Never waits; legal in any context.
    ///
    /// # Errors
    /// If the object is not run down, the value comes back, and nothing changed.
    pub fn publish(&self, value: T) -> Result<(), PublishError<T>> {
        let claim = lifecycle::claim(&self.rundown, |seen| seen.state == State::RunDown);
        let cycle = match claim {
            Ok(cycle) => cycle,
            Err(reason) => return Err(PublishError { value, reason }),
        };
        // SAFETY: the object is claimed: nobody else moves the value, and nobody is granted
        // protection.
        let before = self
            .value
            .with_mut(|place| unsafe { (*place).replace(value) });
        lifecycle::reopen(&self.rundown, cycle);
        // `None`, unless `new` was given a rundown that was run down. Only now, so that a destructor
        // that panics does no harm.
        drop(before);
        Ok(())
    }
}

/// Protection together with the value: dereferences to `T`, releases on drop.
///
/// May be sent to another CPU or thread and dropped there (S4). Forgetting it is safe, but the
/// object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct Guard<'a, T, R: Rundown> {
    // Not a `&T`: that would have to stay valid until the end of `drop`, after the release.
    protected: &'a Protected<T, R>,
}

impl<T, R: Rundown> Deref for Guard<'_, T, R> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while protection is held nobody writes the value: that takes a claim, and a claim
        // a drained object.
        let value = self.protected.value.with(|value| unsafe { &*value });
        // SAFETY: protection was granted, so the object was open, and an open object holds a value.
        unsafe { value.as_ref().unwrap_unchecked() }
    }
}

impl<T, R: Rundown> Drop for Guard<'_, T, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard owns one protection (`try_acquire`), and this is the only place that
        // gives it up.
        unsafe { self.protected.rundown.release() }
    }
}

/// The value was, or is being, taken out by another caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunDownError;

impl fmt::Display for RunDownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another caller has run the object down")
    }
}

impl core::error::Error for RunDownError {}

/// The object could not be published, because it is not run down.
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
