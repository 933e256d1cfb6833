//! [`Protected`]: the calls of its users, and how a value gets in.

use core::ops::Deref;
use core::ptr::NonNull;
use core::{fmt, mem};

use crate::guard::{Guard, Guards, Reach};
use crate::lifecycle::NO_COUNTER;
use crate::primitive::UnsafeCell;
use crate::state::WrongState;
use crate::variant::{Isolation, Rundown, Sealed, Variant};
use crate::word::{Generation, Phase, Word};

/// A `T` that users share under protection and the owner can take out again.
///
/// It dereferences to its [`Rundown`], with all that this can do: close, wait, cancel, and so on.
/// The value stays in, and is the same when the object opens again.
///
/// Invariant: the object holds its value unless it is vacant or claimed. Only the caller that has
/// [claimed](crate::State::Claimed) it takes the value out or puts one in.
// In this order in memory: with a `Compact` variant the value follows the state word.
#[repr(C)]
pub struct Protected<T, V: Variant> {
    start: [<V::Isolation as Isolation>::Start; 0],
    rundown: Rundown<V>,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is reached by reference under protection, from many threads (`T: Sync`), and by
// move under a claim, which excludes protection, from any thread (`T: Send`).
unsafe impl<T: Send + Sync, V: Variant> Sync for Protected<T, V> {}

impl<T, V: Variant> Protected<T, V> {
    const_unless_model! {
        /// Puts `value` behind `rundown`. If that was born closed, so is the object.
        pub fn new(rundown: Rundown<V>, value: T) -> Self {
            Self { start: [], rundown, value: UnsafeCell::new(Some(value)) }
        }

        /// Without a value as yet, and so born closed: [`publish`](Self::publish) puts the first
        /// one in. `rundown` has not been used yet: any protection of it is forgotten.
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
        pub fn vacant(mut rundown: Rundown<V>) -> Self {
            rundown.gate.begin_with(Word::VACANT);
            Self { start: [], rundown, value: UnsafeCell::new(None) }
        }
    }

    /// [`Rundown::try_acquire`], with access to the value.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire(&self) -> Option<Guard<'_, T, V>> {
        let protection = self.rundown.try_acquire()?;
        // SAFETY: protection was granted, just now.
        Some(unsafe { Guard::new(self.protected_value(), protection) })
    }

    /// [`Rundown::try_acquire_many`], with access to the value. `None` also if `n` is 0.
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

    /// Opens an object whose value was taken out, or that never had one, with a new value. Never
    /// waits; any context (the first time, that of [`prepare`](crate::PerCpuRundown::prepare)).
    /// Returns the new generation, which a run-down can be [bound](Self::begin_run_down_of) to.
    ///
    /// # Errors
    /// If the object is not run down, or holds a value, or has no
    /// [counter](crate::PerCpuRundown::prepare), the new value comes back, and nothing changed.
    pub fn publish(&self, value: T) -> Result<Generation, PublishError<T>> {
        match self.claim_to_open(|seen| seen.word.phase() == Phase::Vacant, NO_COUNTER) {
            Ok(epoch) => {
                // SAFETY: claimed, and empty.
                let before = unsafe { self.put(Some(value)) };
                debug_assert!(before.is_none());
                Ok(Generation(self.reopen(epoch)))
            }
            Err(reason) => Err(PublishError { value, reason }),
        }
    }

    /// The value of an open object, for a caller with protection.
    #[inline]
    pub(super) fn protected_value(&self) -> NonNull<T> {
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

impl<T, V: Variant> Deref for Protected<T, V> {
    type Target = Rundown<V>;

    fn deref(&self) -> &Rundown<V> {
        &self.rundown
    }
}

impl<T, V: Variant> Sealed for &Protected<T, V> {}

impl<T, V: Variant> Reach for &Protected<T, V> {
    type Variant = V;

    fn rundown(&self) -> &Rundown<V> {
        self
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

/// A value that was not put in, given back.
pub struct Rejected<T, R> {
    /// The value.
    pub value: T,
    /// Why.
    pub reason: R,
}

/// The value could not be published, because the object is not run down, or holds one.
pub type PublishError<T> = Rejected<T, WrongState>;

text!((<T, R: fmt::Debug> fmt::Debug for Rejected<T, R>) this =>
    "Rejected {{ reason: {:?}, .. }}", this.reason);
text!((<T, R: fmt::Display> fmt::Display for Rejected<T, R>) this =>
    "the new value was not put in: {}", this.reason);

impl<T, R: fmt::Debug + fmt::Display> core::error::Error for Rejected<T, R> {}
