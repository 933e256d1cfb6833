//! Access under protection: [`Guard`], and [`Guards`], which is several.
//!
//! `unsafe` here: the value is reached by a pointer, since its owner will take it out.

use core::fmt;
use core::iter;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::guard::{Many, Number, One, RefGuard, cannot_clone};
use crate::state::Refused;
use crate::variant::Variant;

/// Protection together with the value, or a part of it: dereferences to `T`, releases on drop. `N`
/// is how much protection: [`One`], or [`Many`] under the name [`Guards`].
///
/// May be sent to another CPU or thread and dropped there (S4). Forgetting it is safe, but the
/// object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct Guard<'a, T: ?Sized, V: Variant, N: Number = One> {
    /// Not a `&T`: that would have to stay valid until the end of `drop`, after the release.
    value: NonNull<T>,
    lives: PhantomData<&'a T>,
    protection: RefGuard<'a, V, N>,
}

/// Several protections together with the value: dereferences to `T`, releases them all at once on
/// drop.
pub type Guards<'a, T, V> = Guard<'a, T, V, Many>;

// SAFETY: a guard gives a `&T`, and its drop releases, which any thread may do (S4); it never moves
// or drops the `T`.
unsafe impl<T: Sync + ?Sized, V: Variant, N: Number> Send for Guard<'_, T, V, N> {}
// SAFETY: as above.
unsafe impl<T: Sync + ?Sized, V: Variant, N: Number> Sync for Guard<'_, T, V, N> {}

impl<'a, T: ?Sized, V: Variant, N: Number> Guard<'a, T, V, N> {
    /// # Safety
    /// There is at least one protection, and `value` is not moved, written or dropped while it is
    /// held.
    #[inline]
    pub(super) unsafe fn new(value: NonNull<T>, protection: RefGuard<'a, V, N>) -> Self {
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
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&T) -> &U) -> Guard<'a, U, V, N> {
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
    ) -> Result<Guard<'a, U, V, N>, Self> {
        match part(&guard).map(NonNull::from) {
            // SAFETY: as in `map`.
            Some(part) => Ok(unsafe { Guard::new(part, guard.protection) }),
            None => Err(guard),
        }
    }

    /// How many protections it is: one at least.
    pub fn count(guard: &Self) -> u32 {
        guard.protection.count()
    }

    /// As much protection again of the same value, in any state of the object (S12): see
    /// [`RefGuard::try_clone`]. An associated function, so as not to hide a method of `T`.
    ///
    /// # Errors
    /// [`Refused::Full`] if the object cannot count as many more.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_clone(guard: &Self) -> Result<Self, Refused> {
        let protection = guard.protection.try_clone()?;
        // SAFETY: the same value, and as many protections.
        Ok(unsafe { Self::new(guard.value, protection) })
    }
}

impl<'a, T: ?Sized, V: Variant> Guards<'a, T, V> {
    /// Hands one of them over as a guard of its own, or `None` if it is the last. Never touches the
    /// object.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn take_one(guards: &mut Self) -> Option<Guard<'a, T, V>> {
        if Self::count(guards) == 1 {
            return None;
        }
        let protection = guards.protection.take_one()?;
        // SAFETY: the same value.
        Some(unsafe { Guard::new(guards.value, protection) })
    }

    /// Makes one guard of each.
    pub fn into_guards(guards: Self) -> impl Iterator<Item = Guard<'a, T, V>> {
        let (value, mut protections) = (guards.value, guards.protection);
        iter::from_fn(move || {
            let protection = protections.take_one()?;
            // SAFETY: the same value.
            Some(unsafe { Guard::new(value, protection) })
        })
    }
}

/// As [`try_clone`](Guard::try_clone). To clone the value, write `(*guard).clone()`.
///
/// # Panics
/// If the object is full.
impl<T: ?Sized, V: Variant, N: Number> Clone for Guard<'_, T, V, N> {
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn clone(&self) -> Self {
        Self::try_clone(self).unwrap_or_else(cannot_clone)
    }
}

impl<T: ?Sized, V: Variant, N: Number> Deref for Guard<'_, T, V, N> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while protection is held nothing moves or writes the value: that takes a claim,
        // and a claim a drained object.
        unsafe { self.value.as_ref() }
    }
}

impl<T: fmt::Debug + ?Sized, V: Variant, N: Number> fmt::Debug for Guard<'_, T, V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&&**self).finish()
    }
}

impl<T: fmt::Display + ?Sized, V: Variant, N: Number> fmt::Display for Guard<'_, T, V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
