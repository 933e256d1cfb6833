//! Access under protection: [`Guard`] and [`Guards`].
//!
//! `unsafe` here: the value is reached by a pointer, since its owner will take it out.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::guard::{RefGuard, RefGuards, cannot_clone};
use crate::state::Refused;
use crate::variant::Variant;

/// Protection together with the value, or a part of it: dereferences to `T`, releases on drop.
///
/// May be sent to another CPU or thread and dropped there (S4). Forgetting it is safe, but the
/// object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct Guard<'a, T: ?Sized, V: Variant> {
    /// Not a `&T`: that would have to stay valid until the end of `drop`, after the release.
    value: NonNull<T>,
    lives: PhantomData<&'a T>,
    protection: RefGuard<'a, V>,
}

// SAFETY: a guard gives a `&T`, and its drop releases, which any thread may do (S4); it never moves
// or drops the `T`.
unsafe impl<T: Sync + ?Sized, V: Variant> Send for Guard<'_, T, V> {}
// SAFETY: as above.
unsafe impl<T: Sync + ?Sized, V: Variant> Sync for Guard<'_, T, V> {}

impl<'a, T: ?Sized, V: Variant> Guard<'a, T, V> {
    /// # Safety
    /// `value` is not moved, written or dropped while `protection` is held.
    #[inline]
    pub(super) unsafe fn new(value: NonNull<T>, protection: RefGuard<'a, V>) -> Self {
        Self {
            value,
            lives: PhantomData,
            protection,
        }
    }

    /// Narrows the guard to a part of the value. An associated function, so as not to hide a method
    /// of `T`.
    ///
    /// ```
    /// # use rundown::{Guard, HostPlatform, Plain, PlainRundown, Protected};
    /// # let object = Protected::new(PlainRundown::<HostPlatform>::new(), (1, "two"));
    /// let second = Guard::map(object.try_acquire().expect("open"), |pair| pair.1);
    /// assert_eq!(&*second, "two");
    /// ```
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&T) -> &U) -> Guard<'a, U, V> {
        let part = NonNull::from(part(&guard));
        // SAFETY: a part of the value, which lives as long.
        unsafe { Guard::new(part, guard.protection) }
    }

    /// Narrows the guard to a part of the value, if it is there; gives the guard back if not.
    ///
    /// # Errors
    /// The guard, if `part` returned `None`.
    pub fn try_map<U: ?Sized>(
        guard: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<Guard<'a, U, V>, Self> {
        match part(&guard).map(NonNull::from) {
            // SAFETY: as in `map`.
            Some(part) => Ok(unsafe { Guard::new(part, guard.protection) }),
            None => Err(guard),
        }
    }

    /// One more guard of the same value, in any state of the object (S12): see [`RefGuard::try_clone`].
    /// An associated function, so as not to hide a method of `T`.
    ///
    /// # Errors
    /// [`Refused::Full`] if the object cannot count one more.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_clone(guard: &Self) -> Result<Self, Refused> {
        let protection = guard.protection.try_clone()?;
        // SAFETY: the same value.
        Ok(unsafe { Self::new(guard.value, protection) })
    }
}

/// As [`try_clone`](Guard::try_clone). To clone the value, write `(*guard).clone()`.
///
/// # Panics
/// If the object is full.
impl<T: ?Sized, V: Variant> Clone for Guard<'_, T, V> {
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn clone(&self) -> Self {
        Self::try_clone(self).unwrap_or_else(cannot_clone)
    }
}

impl<T: ?Sized, V: Variant> Deref for Guard<'_, T, V> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while protection is held nothing moves or writes the value: that takes a claim, and a
        // claim a drained object.
        unsafe { self.value.as_ref() }
    }
}

impl<T: fmt::Debug + ?Sized, V: Variant> fmt::Debug for Guard<'_, T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&&**self).finish()
    }
}

impl<T: fmt::Display + ?Sized, V: Variant> fmt::Display for Guard<'_, T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Several protections together with the value: dereferences to `T`, releases them all at once on drop.
#[must_use = "protection ends when the guards are dropped"]
pub struct Guards<'a, T: ?Sized, V: Variant> {
    value: NonNull<T>,
    lives: PhantomData<&'a T>,
    protections: RefGuards<'a, V>,
}

// SAFETY: as for `Guard`.
unsafe impl<T: Sync + ?Sized, V: Variant> Send for Guards<'_, T, V> {}
// SAFETY: as for `Guard`.
unsafe impl<T: Sync + ?Sized, V: Variant> Sync for Guards<'_, T, V> {}

impl<'a, T: ?Sized, V: Variant> Guards<'a, T, V> {
    /// # Safety
    /// There is at least one protection, and `value` is not moved, written or dropped while one is held.
    pub(super) unsafe fn new(value: NonNull<T>, protections: RefGuards<'a, V>) -> Self {
        Self {
            value,
            lives: PhantomData,
            protections,
        }
    }

    /// How many protections these are: one at least.
    #[must_use]
    pub fn count(guards: &Self) -> u32 {
        guards.protections.count()
    }

    /// Hands one of them over as a guard of its own, or `None` if it is the last. Never touches the
    /// object.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn take_one(guards: &mut Self) -> Option<Guard<'a, T, V>> {
        if Self::count(guards) == 1 {
            return None;
        }
        let protection = guards.protections.take_one()?;
        // SAFETY: the same value.
        Some(unsafe { Guard::new(guards.value, protection) })
    }

    /// Makes one guard of each.
    pub fn into_guards(guards: Self) -> impl Iterator<Item = Guard<'a, T, V>> {
        let Self {
            value,
            mut protections,
            ..
        } = guards;
        core::iter::from_fn(move || {
            let protection = protections.take_one()?;
            // SAFETY: the same value.
            Some(unsafe { Guard::new(value, protection) })
        })
    }
}

impl<T: ?Sized, V: Variant> Deref for Guards<'_, T, V> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as for `Guard`; there is one protection at least.
        unsafe { self.value.as_ref() }
    }
}

/// As many protections again: see [`RefGuards::try_clone`].
///
/// # Panics
/// If the object is full.
impl<T: ?Sized, V: Variant> Clone for Guards<'_, T, V> {
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn clone(&self) -> Self {
        let protections = self.protections.try_clone().unwrap_or_else(cannot_clone);
        // SAFETY: the same value, and as many protections.
        unsafe { Self::new(self.value, protections) }
    }
}

impl<T: fmt::Debug + ?Sized, V: Variant> fmt::Debug for Guards<'_, T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.protections.count();
        f.debug_tuple("Guards")
            .field(&count)
            .field(&&**self)
            .finish()
    }
}
