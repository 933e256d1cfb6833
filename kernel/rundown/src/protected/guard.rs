//! Access under protection: [`Guard`], and [`MappedGuard`] to a part of the value.
//!
//! `unsafe` here: the value is reached through the cell that its owner will take it out of.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use super::Protected;
use crate::guard::RefGuard;
use crate::rundown::Rundown;

/// Protection together with the value: dereferences to `T`, releases on drop.
///
/// May be sent to another CPU or thread and dropped there (S4). Forgetting it is safe, but the
/// object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct Guard<'a, T, R: Rundown> {
    // Not a `&T`: that would have to stay valid until the end of `drop`, after the release.
    protected: &'a Protected<T, R>,
    protection: RefGuard<'a, R>,
}

// SAFETY: a guard gives a `&T`, and its drop releases, which any thread may do (S4); it never moves
// or drops the `T`.
unsafe impl<T: Sync, R: Rundown> Send for Guard<'_, T, R> {}
// SAFETY: as above.
unsafe impl<T: Sync, R: Rundown> Sync for Guard<'_, T, R> {}

impl<'a, T, R: Rundown> Guard<'a, T, R> {
    /// # Safety
    /// `protection` was granted by the rundown of `protected`.
    #[inline]
    pub(super) unsafe fn new(protected: &'a Protected<T, R>, protection: RefGuard<'a, R>) -> Self {
        Self {
            protected,
            protection,
        }
    }

    /// Narrows the guard to a part of the value. An associated function, so as not to hide a method
    /// of `T`.
    ///
    /// ```
    /// # use rundown::{Guard, HostPlatform, Protected, RundownRef};
    /// # let object = Protected::<_, RundownRef<HostPlatform>>::new(RundownRef::new(), (1, "two"));
    /// let second = Guard::map(object.try_acquire().expect("open"), |pair| pair.1);
    /// assert_eq!(&*second, "two");
    /// ```
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&T) -> &U) -> MappedGuard<'a, U, R> {
        MappedGuard {
            part: NonNull::from(part(&guard)),
            lives: PhantomData,
            protection: guard.protection,
        }
    }

    /// Narrows the guard to a part of the value, if it is there; gives the guard back if not.
    ///
    /// # Errors
    /// The guard, if `part` returned `None`.
    pub fn try_map<U: ?Sized>(
        guard: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<MappedGuard<'a, U, R>, Self> {
        match part(&guard).map(NonNull::from) {
            Some(part) => Ok(MappedGuard {
                part,
                lives: PhantomData,
                protection: guard.protection,
            }),
            None => Err(guard),
        }
    }
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

impl<T: fmt::Debug, R: Rundown> fmt::Debug for Guard<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&**self).finish()
    }
}

impl<T: fmt::Display, R: Rundown> fmt::Display for Guard<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Protection together with a part of the value, from [`Guard::map`].
#[must_use = "protection ends when the guard is dropped"]
pub struct MappedGuard<'a, U: ?Sized, R: Rundown> {
    /// Not a `&U`, for the same reason as in [`Guard`].
    part: NonNull<U>,
    lives: PhantomData<&'a U>,
    protection: RefGuard<'a, R>,
}

// SAFETY: as for `Guard`.
unsafe impl<U: Sync + ?Sized, R: Rundown> Send for MappedGuard<'_, U, R> {}
// SAFETY: as for `Guard`.
unsafe impl<U: Sync + ?Sized, R: Rundown> Sync for MappedGuard<'_, U, R> {}

impl<'a, U: ?Sized, R: Rundown> MappedGuard<'a, U, R> {
    /// Narrows the guard further.
    pub fn map<V: ?Sized>(guard: Self, part: impl FnOnce(&U) -> &V) -> MappedGuard<'a, V, R> {
        MappedGuard {
            part: NonNull::from(part(&guard)),
            lives: PhantomData,
            protection: guard.protection,
        }
    }
}

impl<U: ?Sized, R: Rundown> Deref for MappedGuard<'_, U, R> {
    type Target = U;

    #[inline]
    fn deref(&self) -> &U {
        // SAFETY: a part of a value that nobody moves or writes while protection is held (`Guard`),
        // borrowed from it for that time (`map`).
        unsafe { self.part.as_ref() }
    }
}

impl<U: fmt::Debug + ?Sized, R: Rundown> fmt::Debug for MappedGuard<'_, U, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MappedGuard").field(&&**self).finish()
    }
}

impl<U: fmt::Display + ?Sized, R: Rundown> fmt::Display for MappedGuard<'_, U, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
