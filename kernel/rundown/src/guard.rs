//! Protection as a value: [`RefGuard`], and together with what it guards: [`Guard`].
//!
//! `unsafe` here: the value is reached by a pointer, since its owner will take it out.

use core::ops::Deref;
use core::ptr::NonNull;
use core::{fmt, iter, mem};

use crate::holders::GuardEntry;
use crate::state::Refused;
use crate::variant::{Rundown, Sealed, Variant};

/// How a guard, or [`close_all`](Rundown::close_all), reaches an object: by a borrow, or by a share
/// in its memory. Sealed: it is the same object each time, which `unsafe` code relies on.
pub trait Reach: Clone + Sealed {
    #[doc(hidden)]
    type Variant: Variant + ?Sized;

    #[doc(hidden)]
    fn rundown(&self) -> &Rundown<Self::Variant>;
}

impl<V: Variant + ?Sized> Sealed for &Rundown<V> {}

impl<V: Variant + ?Sized> Reach for &Rundown<V> {
    type Variant = V;

    fn rundown(&self) -> &Rundown<V> {
        self
    }
}

/// How many protections a guard is: [`One`] or [`Many`]. Sealed, as is [`Reach`].
pub trait Number: Copy + Send + Sync + Sealed {
    #[doc(hidden)]
    fn get(self) -> u32;
}

/// The number of a guard of one protection. It takes no room.
#[derive(Clone, Copy, Debug)]
pub struct One;

/// The number of a guard of several protections, or of none.
#[derive(Clone, Copy, Debug)]
pub struct Many(pub(crate) u32);

impl Sealed for One {}
impl Sealed for Many {}

impl Number for One {
    fn get(self) -> u32 {
        1
    }
}

impl Number for Many {
    fn get(self) -> u32 {
        self.0
    }
}

/// One protection, or several (`N` is [`Many`] then), of the object that `R` leads to: a
/// [`RefGuard`]. Dropping it releases. May be sent to another CPU or thread and dropped there (S4).
/// Forgetting it is safe, but the object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct Protection<R: Reach, N: Number = One> {
    pub(crate) object: R,
    number: N,
    entry: GuardEntry,
}

/// [Protection] of an object that it borrows.
pub type RefGuard<'a, V, N = One> = Protection<&'a Rundown<V>, N>;

/// Several protections of one object; they can be [split](RefGuards::split_off).
pub type RefGuards<'a, V> = RefGuard<'a, V, Many>;

impl<R: Reach, N: Number> Protection<R, N> {
    /// The caller owns `number` protections of `object` and hands them over.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub(crate) fn new(object: R, number: N) -> Self {
        let id = object.rundown().id();
        Self {
            object,
            number,
            entry: GuardEntry::new::<<R::Variant as Variant>::Platform>(id, number.get()),
        }
    }

    /// How many protections it is.
    pub fn count(&self) -> u32 {
        self.number.get()
    }

    /// As many protections again of the same object, in any state of it (S12): also while it
    /// drains, which then waits for the clone as well. Same contexts as [`Rundown::try_acquire`].
    ///
    /// # Errors
    /// [`Refused::Full`] if the object cannot count as many more.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_clone(&self) -> Result<Self, Refused> {
        // A guard that holds nothing keeps nothing from being torn down.
        if self.count() > 0 {
            // SAFETY: this guard holds protection.
            unsafe { self.object.rundown().take_more(self.count())? };
        }
        Ok(Self::new(self.object.clone(), self.number))
    }
}

/// As [`try_clone`](Protection::try_clone).
///
/// # Panics
/// If the object is full.
impl<R: Reach, N: Number> Clone for Protection<R, N> {
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(cannot_clone)
    }
}

/// A guard could not be cloned.
#[cold]
fn cannot_clone<T>(refused: Refused) -> T {
    panic!("a guard was not cloned: {refused}")
}

impl<R: Reach, N: Number> Drop for Protection<R, N> {
    #[inline]
    fn drop(&mut self) {
        self.entry.end();
        if self.count() > 0 {
            // SAFETY: the guard owns that many protections, and gives them up.
            unsafe { R::Variant::release(self.object.rundown(), self.count()) }
        }
    }
}

text!((<R: Reach, N: Number> fmt::Debug for Protection<R, N>) this =>
    "RefGuard({} on {})", this.count(), this.object.rundown().id());

impl<R: Reach> Protection<R, Many> {
    /// Hands over `n` of them. Never touches the object.
    ///
    /// # Panics
    /// If there are fewer than `n`.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn split_off(&mut self, n: u32) -> Self {
        let Some(rest) = self.count().checked_sub(n) else {
            panic!("cannot split {n} off {} protections", self.count());
        };
        self.recount(rest);
        Self::new(self.object.clone(), Many(n))
    }

    /// Hands over one of them as a guard of its own, or `None` if none is left.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn take_one(&mut self) -> Option<Protection<R>> {
        let rest = self.count().checked_sub(1)?;
        self.recount(rest);
        Some(Protection::new(self.object.clone(), One))
    }

    /// Adds the protections of `other`, or gives it back if it is of another object.
    ///
    /// # Errors
    /// `other`, if it is of another object or the sum exceeds `u32::MAX`.
    pub fn merge(&mut self, mut other: Self) -> Result<(), Self> {
        match self.count().checked_add(other.count()) {
            Some(sum) if self.object.rundown().id() == other.object.rundown().id() => {
                self.recount(sum);
                // Its drop then releases none.
                mem::take(&mut other.number.0);
                Ok(())
            }
            _ => Err(other),
        }
    }

    fn recount(&mut self, count: u32) {
        self.number = Many(count);
        self.entry.recount(count);
    }
}

/// [`Protection`] together with the value, or a part of it: a [`Guard`]. Dereferences to `T`, none
/// of whose methods it hides: its own are associated functions.
#[must_use = "protection ends when the guard is dropped"]
pub struct Access<T: ?Sized, R: Reach, N: Number = One> {
    /// Not a `&T`: that would have to stay valid until the end of `drop`, after the release.
    value: NonNull<T>,
    pub(crate) protection: Protection<R, N>,
}

/// [Access] to the value of an object that it borrows.
pub type Guard<'a, T, V, N = One> = Access<T, &'a Rundown<V>, N>;

/// Several protections together with the value.
pub type Guards<'a, T, V> = Guard<'a, T, V, Many>;

// SAFETY: a guard gives a `&T`, and its drop releases, which any thread may do (S4); it never moves
// or drops the `T`, unless as a part of the object that `R` shares.
unsafe impl<T: Sync + ?Sized, R: Reach + Send, N: Number> Send for Access<T, R, N> {}
// SAFETY: as above.
unsafe impl<T: Sync + ?Sized, R: Reach + Sync, N: Number> Sync for Access<T, R, N> {}

impl<T: ?Sized, R: Reach, N: Number> Access<T, R, N> {
    /// # Safety
    /// There is at least one protection; while it is held, `value` is not moved, written or
    /// dropped.
    pub(crate) unsafe fn new(value: NonNull<T>, protection: Protection<R, N>) -> Self {
        Self { value, protection }
    }

    /// Narrows the guard to a part of the value.
    ///
    /// ```
    /// # use rundown::{Guard, HostPlatform, Plain, PlainRundown, Protected};
    /// # let object = Protected::new(PlainRundown::<HostPlatform>::new(), (1, "two"));
    /// let second = Guard::map(object.try_acquire().expect("open"), |pair| pair.1);
    /// assert_eq!(&*second, "two");
    /// ```
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&T) -> &U) -> Access<U, R, N> {
        let part = NonNull::from(part(&guard));
        // SAFETY: a part of the value, which lives as long.
        unsafe { Access::new(part, guard.protection) }
    }

    /// Narrows the guard to a part of the value, if it is there.
    ///
    /// # Errors
    /// The guard, if `part` returned `None`.
    pub fn try_map<U: ?Sized>(
        guard: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<Access<U, R, N>, Self> {
        match part(&guard).map(NonNull::from) {
            // SAFETY: as in `map`.
            Some(part) => Ok(unsafe { Access::new(part, guard.protection) }),
            None => Err(guard),
        }
    }

    /// How many protections it is: one at least.
    pub fn count(guard: &Self) -> u32 {
        guard.protection.count()
    }

    /// [`Protection::try_clone`], with access to the value.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_clone(guard: &Self) -> Result<Self, Refused> {
        let protection = guard.protection.try_clone()?;
        // SAFETY: the same value, and as many protections.
        Ok(unsafe { Self::new(guard.value, protection) })
    }
}

impl<T: ?Sized, R: Reach> Access<T, R, Many> {
    /// Hands one of them over as a guard of its own, or `None` if it is the last.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn take_one(guards: &mut Self) -> Option<Access<T, R>> {
        if Self::count(guards) == 1 {
            return None;
        }
        let protection = guards.protection.take_one()?;
        // SAFETY: the same value.
        Some(unsafe { Access::new(guards.value, protection) })
    }

    /// Makes one guard of each.
    pub fn into_guards(guards: Self) -> impl Iterator<Item = Access<T, R>> {
        let (value, mut protections) = (guards.value, guards.protection);
        iter::from_fn(move || {
            let protection = protections.take_one()?;
            // SAFETY: the same value.
            Some(unsafe { Access::new(value, protection) })
        })
    }
}

/// As [`try_clone`](Access::try_clone); `(*guard).clone()` clones the value.
///
/// # Panics
/// If the object is full.
impl<T: ?Sized, R: Reach, N: Number> Clone for Access<T, R, N> {
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn clone(&self) -> Self {
        Self::try_clone(self).unwrap_or_else(cannot_clone)
    }
}

impl<T: ?Sized, R: Reach, N: Number> Deref for Access<T, R, N> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: to move or write the value takes a claim, and a claim takes a drained object.
        unsafe { self.value.as_ref() }
    }
}

impl<T: fmt::Debug + ?Sized, R: Reach, N: Number> fmt::Debug for Access<T, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&&**self).finish()
    }
}

impl<T: fmt::Display + ?Sized, R: Reach, N: Number> fmt::Display for Access<T, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
