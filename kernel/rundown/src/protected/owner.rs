//! One owner, many handles, like an `Arc` that one of them can end: [`Owner`] and [`Handle`].

use core::fmt;

use alloc::sync::Arc;

use super::{Guard, Protected, RunDownError};
use crate::platform::{AsyncPlatform, Clock, Wait};
use crate::rundown::Rundown;
use crate::state::{CloseOutcome, Outstanding, State, WrongState};

/// The one who may tear the value down. The users have [`Handle`]s, which keep the memory that they
/// ask alive, but not the value.
///
/// ```
/// use rundown::{HostPlatform, Owner, Park, RundownRef};
///
/// let owner = Owner::new(RundownRef::<HostPlatform>::new(), String::from("connection"));
/// let handle = owner.handle();
/// let user = std::thread::spawn(move || match handle.try_acquire() {
///     Some(connection) => connection.len(),
///     None => 0, // it is gone
/// });
/// let connection = owner.run_down(&Park);
/// assert_eq!(connection, "connection");
/// # user.join().unwrap();
/// ```
///
/// Dropping the owner closes the object without waiting; the value is dropped when the last handle
/// is.
pub struct Owner<T, R: Rundown> {
    shared: Arc<Protected<T, R>>,
}

impl<T, R: Rundown> Owner<T, R> {
    /// Puts `value` behind `rundown`.
    ///
    /// # Panics
    /// If `rundown` is not open.
    pub fn new(rundown: R, value: T) -> Self {
        assert_eq!(
            rundown.state(),
            State::Open,
            "an owner needs a rundown that is open"
        );
        Self {
            shared: Arc::new(Protected::new(rundown, value)),
        }
    }

    /// A handle for a user.
    #[must_use]
    pub fn handle(&self) -> Handle<T, R> {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Takes protection as a user does, or `None` if the object is closed.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire(&self) -> Option<Guard<'_, T, R>> {
        self.shared.try_acquire()
    }

    /// Refuses protection from now on. Never waits.
    pub fn close(&self) -> CloseOutcome {
        self.shared.close()
    }

    /// Closes the object, waits until every guard is dropped, and returns the value. No error is
    /// possible: nobody else can take it or cancel.
    ///
    /// Thread context only, and not while the caller holds a guard: it would wait for itself.
    #[must_use = "the value has been taken out"]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn run_down<W: Wait + ?Sized>(self, policy: &W) -> T {
        match self.shared.run_down(policy) {
            Ok(value) => value,
            Err(error) => unreachable!("only the owner can: {error}"),
        }
    }

    /// Like [`run_down`](Self::run_down), but gives up when the platform's clock has reached
    /// `deadline`. The object stays closed then.
    ///
    /// # Errors
    /// The owner, to try again, and what is outstanding.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn run_down_deadline<W: Wait + ?Sized>(
        self,
        policy: &W,
        deadline: u64,
    ) -> Result<T, (Self, Outstanding)>
    where
        R::Platform: Clock,
    {
        match self.shared.run_down_deadline(policy, deadline) {
            Ok(value) => Ok(value),
            Err(RunDownError::TimedOut(outstanding)) => Err((self, outstanding)),
            Err(error) => unreachable!("only the owner can: {error}"),
        }
    }

    /// Like [`run_down`](Self::run_down), as a future. The object closes when it is first polled; if
    /// it is dropped before its end, the owner is.
    pub async fn run_down_async(self) -> T
    where
        R::Platform: AsyncPlatform,
    {
        match self.shared.run_down_async().await {
            Ok(value) => value,
            Err(error) => unreachable!("only the owner can: {error}"),
        }
    }

    /// Opens the object again that [`close`](Self::close) or a missed deadline has left closed, while
    /// guards are still out. See [`Rundown::cancel`].
    ///
    /// # Errors
    /// [`WrongState`] if it is open or has drained; nothing changed.
    pub fn cancel(&mut self) -> Result<(), WrongState> {
        self.shared.cancel()
    }

    /// Waits until every guard is dropped, and puts `value` in the place of the one before, which it
    /// returns. Users are refused in between. Opens an object that was [closed](Self::close).
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn replace<W: Wait + ?Sized>(&mut self, policy: &W, value: T) -> T {
        match self.shared.replace(policy, value) {
            Ok(before) => before,
            Err(error) => unreachable!("only the owner can: {error}"),
        }
    }

    /// A snapshot of the life cycle.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }
}

impl<T, R: Rundown> Drop for Owner<T, R> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// A user's way to a value that somebody else [owns](Owner). Cheap to clone.
pub struct Handle<T, R: Rundown> {
    shared: Arc<Protected<T, R>>,
}

impl<T, R: Rundown> Handle<T, R> {
    /// Takes protection and gives access to the value, or `None` if its owner has closed the object.
    ///
    /// Legal in any context, NMI included (S5).
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire(&self) -> Option<Guard<'_, T, R>> {
        self.shared.try_acquire()
    }

    /// A snapshot of the life cycle.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }
}

impl<T, R: Rundown> Clone for Handle<T, R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T, R: Rundown> fmt::Debug for Owner<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.state()).finish()
    }
}

impl<T, R: Rundown> fmt::Debug for Handle<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.state()).finish()
    }
}
