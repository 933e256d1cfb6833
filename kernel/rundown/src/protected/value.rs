//! [`Protected`]: what its users call, and how a value gets in.

use core::fmt;
use core::mem;
use core::ptr::NonNull;

use super::error::PublishError;
use super::guard::{Guard, Guards};
use crate::close_all;
use crate::completion::Completion;
use crate::drain::Drain;
use crate::object_id::ObjectId;
use crate::platform::Wait;
use crate::primitive::{UnsafeCell, const_unless_model};
use crate::state::{CloseOutcome, CloseThenError, IllegalContext, State, WaitOutcome, WrongState};
use crate::variant::{Isolation, Rundown, Variant};
use crate::word::{Epoch, Generation, Phase};

/// A `T` that users share under protection and the owner can take out again.
///
/// Invariant: an open object holds a value, and so do its draining and drained states; only the
/// caller that has [claimed](State::Claimed) the object takes the value out or puts one in.
// In this order in memory: with a `Compact` variant the value follows the state word.
#[repr(C)]
pub struct Protected<T, V: Variant> {
    start: [<V::Isolation as Isolation>::Start; 0],
    pub(super) rundown: Rundown<V>,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is reached by reference under protection, from many threads (`T: Sync`), and by
// move under a claim, which excludes protection, from whichever thread (`T: Send`). The rundown is
// `Sync` itself.
unsafe impl<T: Send + Sync, V: Variant> Sync for Protected<T, V> {}

impl<T, V: Variant> Protected<T, V> {
    const_unless_model! {
        /// Puts `value` behind `rundown`. If that was born closed, so is the object, until it is
        /// [opened](Self::open).
        pub fn new(mut rundown: Rundown<V>, value: T) -> Self {
            rundown.gate.hold_value_from_birth();
            Self { start: [], rundown, value: UnsafeCell::new(Some(value)) }
        }
    }

    const_unless_model! {
        /// Without a value as yet, and so born closed, whatever `rundown` is: [`publish`](Self::publish)
        /// puts the first one in.
        ///
        /// ```
        /// use rundown::{HostPlatform, Plain, PlainRundown, Protected};
        ///
        /// static ROUTES: Protected<Vec<u32>, Plain<HostPlatform>> =
        ///     Protected::vacant(PlainRundown::new());
        /// assert!(ROUTES.try_acquire().is_none());
        /// ROUTES.publish(vec![1, 2, 3]).expect("run down");
        /// assert_eq!(ROUTES.try_acquire().expect("open").len(), 3);
        /// ```
        pub fn vacant(rundown: Rundown<V>) -> Self {
            Self { start: [], rundown: rundown.born_closed(), value: UnsafeCell::new(None) }
        }
    }

    /// Takes protection and gives access to the value, or `None` if the object is closed (or
    /// [full](crate::Refused::Full)).
    ///
    /// Legal in any context, NMI included (S5).
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire(&self) -> Option<Guard<'_, T, V>> {
        let protection = self.rundown.try_acquire()?;
        // SAFETY: protection was granted, just now.
        Some(unsafe { Guard::new(self.protected_value(), protection) })
    }

    /// Takes `n` protections at once, all or none (S7). `None` also if `n` is 0, which protects nothing.
    /// Same contexts as `try_acquire`.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire_many(&self, n: u32) -> Option<Guards<'_, T, V>> {
        if n == 0 {
            return None;
        }
        let protections = self.rundown.try_acquire_many(n)?;
        // SAFETY: protection was granted, just now, and `n` is not 0.
        Some(unsafe { Guards::new(self.protected_value(), protections) })
    }

    /// Refuses protection from now on. Running down does it, too; on its own, this tells the moment of
    /// closing from that of draining. Never waits; legal where [`Rundown::close`] is.
    pub fn close(&self) -> CloseOutcome {
        self.rundown.close()
    }

    /// Closes those of the objects that are open, with one barrier for all: see [`Rundown::close_all`].
    ///
    /// # Errors
    /// [`IllegalContext`] if a barrier is illegal here; nothing changed.
    pub fn close_all(objects: &[&Self]) -> Result<(), IllegalContext> {
        close_all::close_all(objects, |object| &object.rundown)
    }

    /// Closes the object and leaves `completion` for the last release: see [`Rundown::close_then`]. The
    /// value stays in.
    ///
    /// # Errors
    /// As there.
    pub fn close_then(&self, completion: &'static Completion) -> Result<(), CloseThenError> {
        self.rundown.close_then(completion)
    }

    /// Opens a draining object again, value and guards as they are. See [`Rundown::cancel`].
    ///
    /// # Errors
    /// [`WrongState`] if it is not draining; nothing changed.
    pub fn cancel(&self) -> Result<Option<NonNull<Completion>>, WrongState> {
        self.rundown.cancel()
    }

    /// Closes the object and waits until it is drained, but leaves the value in. See
    /// [`Rundown::drain`] for what else can be done with the [`Drain`]: poll it, await it, wait until
    /// a deadline.
    pub fn drain(&self) -> Drain<'_, V> {
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

    /// The generation that the object is in.
    pub fn generation(&self) -> Generation {
        self.rundown.generation()
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

    /// The net count of every slot. See [`Rundown::racy_counts`].
    pub fn racy_counts(&self) -> impl ExactSizeIterator<Item = i64> + Clone + '_ {
        self.rundown.racy_counts()
    }

    /// Opens a run-down object again, with a new value. Never waits; legal in any context (the first time,
    /// that of [`prepare`](crate::PerCpuRundown::prepare)). Returns the new generation, which a run-down
    /// can be [bound](Self::begin_run_down_of) to.
    ///
    /// # Errors
    /// If the object is not run down, or holds a value, or cannot be [opened](Rundown::open), the new
    /// value comes back, and nothing changed.
    pub fn publish(&self, value: T) -> Result<Generation, PublishError<T>> {
        match self.claim_to_open(Phase::RunDown) {
            Ok(epoch) => {
                // SAFETY: claimed, and empty.
                let before = unsafe { self.put(Some(value)) };
                debug_assert!(before.is_none());
                Ok(Generation(self.rundown.reopen(epoch)))
            }
            Err(reason) => Err(PublishError { value, reason }),
        }
    }

    /// Opens an object that was born closed, with the value that it was given (S9). Contexts and result
    /// as for [`publish`](Self::publish).
    ///
    /// # Errors
    /// [`WrongState`] if it is not run down; and, with [`State::RunDown`] found, if it holds no value (then
    /// [`publish`](Self::publish) one) or cannot be [opened](Rundown::open). Nothing changed.
    pub fn open(&self) -> Result<Generation, WrongState> {
        let epoch = self.claim_to_open(Phase::Unopened)?;
        Ok(Generation(self.rundown.reopen(epoch)))
    }

    fn claim_to_open(&self, phase: Phase) -> Result<Epoch, WrongState> {
        self.rundown
            .claim_to_open(|seen| seen.word.phase() == phase)
    }

    /// The value of an open object, for a caller with protection.
    #[inline]
    fn protected_value(&self) -> NonNull<T> {
        self.value.with(|value| {
            // SAFETY: protection keeps the value in: taking it out takes a claim.
            let value = unsafe { &*value };
            // SAFETY: an open object holds a value.
            NonNull::from(unsafe { value.as_ref().unwrap_unchecked() })
        })
    }

    /// # Safety
    /// The caller has claimed the object: it is drained, so no guard reaches the value and all they
    /// did happens-before this (S2), and nothing else moves it.
    pub(super) unsafe fn put(&self, value: Option<T>) -> Option<T> {
        self.value
            // SAFETY: nothing else has access, as promised.
            .with_mut(|place| mem::replace(unsafe { &mut *place }, value))
    }
}

/// Shows the value if protection is granted.
impl<T: fmt::Debug, V: Variant> fmt::Debug for Protected<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Protected");
        debug.field("rundown", &self.rundown);
        match self.try_acquire() {
            Some(guard) => debug.field("value", &*guard).finish(),
            None => debug.finish_non_exhaustive(),
        }
    }
}
