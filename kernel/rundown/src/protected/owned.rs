//! Guards that own their way to the object: [`OwnedGuard`].

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;

use alloc::sync::Arc;

use super::guard::Guard;
use super::value::Protected;
use crate::guard::cannot_clone;
use crate::state::Refused;
use crate::variant::Variant;

/// A [`Guard`] without a lifetime, from [`Protected::try_acquire_owned`]: for a task, a thread, or a
/// structure that outlives the borrow. It keeps the memory of the object as well as the value.
#[must_use = "protection ends when the guard is dropped"]
pub struct OwnedGuard<T: 'static, V: Variant + 'static> {
    /// Borrowed from `object`, and dropped before it.
    guard: ManuallyDrop<Guard<'static, T, V>>,
    object: Arc<Protected<T, V>>,
}

impl<T, V: Variant> Protected<T, V> {
    /// Takes protection, and returns a guard that keeps the object alive; or `None` if it is closed (or
    /// full).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use rundown::{HostPlatform, Park, PlainRundown, Protected};
    ///
    /// let object = Arc::new(Protected::new(PlainRundown::<HostPlatform>::new(), 7));
    /// let guard = object.try_acquire_owned().expect("open");
    /// let user = std::thread::spawn(move || assert_eq!(*guard, 7));
    /// assert_eq!(object.run_down(&Park), Ok(7));
    /// # user.join().unwrap();
    /// ```
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedGuard<T, V>> {
        let guard = self.try_acquire()?;
        Some(OwnedGuard::new(guard, Arc::clone(self)))
    }
}

impl<T, V: Variant> OwnedGuard<T, V> {
    fn new(guard: Guard<'_, T, V>, object: Arc<Protected<T, V>>) -> Self {
        // SAFETY: the guard borrows what `object` keeps in its place, and is dropped before that.
        let guard = unsafe { core::mem::transmute::<Guard<'_, T, V>, Guard<'static, T, V>>(guard) };
        Self {
            guard: ManuallyDrop::new(guard),
            object,
        }
    }

    /// The object that it guards.
    #[must_use]
    pub fn object(guard: &Self) -> &Arc<Protected<T, V>> {
        &guard.object
    }

    /// One more guard of the same value, in any state of the object (S12): see
    /// [`RefGuard::try_clone`](crate::RefGuard::try_clone).
    ///
    /// # Errors
    /// [`Refused::Full`] if the object cannot count one more.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_clone(guard: &Self) -> Result<Self, Refused> {
        let clone = Guard::try_clone(&guard.guard)?;
        Ok(Self::new(clone, Arc::clone(&guard.object)))
    }
}

/// As [`try_clone`](OwnedGuard::try_clone).
///
/// # Panics
/// If the object is full.
impl<T, V: Variant> Clone for OwnedGuard<T, V> {
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn clone(&self) -> Self {
        Self::try_clone(self).unwrap_or_else(cannot_clone)
    }
}

impl<T, V: Variant> Drop for OwnedGuard<T, V> {
    fn drop(&mut self) {
        // SAFETY: dropped here only, and before `object`.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
    }
}

impl<T, V: Variant> Deref for OwnedGuard<T, V> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: fmt::Debug, V: Variant> fmt::Debug for OwnedGuard<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedGuard").field(&**self).finish()
    }
}

impl<T: fmt::Display, V: Variant> fmt::Display for OwnedGuard<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
