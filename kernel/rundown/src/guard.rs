//! Protection as a value: [`RefGuard`] and [`RefGuards`].

use core::{fmt, mem};

use crate::holders::Record;
use crate::state::Refused;
use crate::variant::{Rundown, Variant};

/// One protection; dropping it releases. May be sent to another CPU or thread and dropped there
/// (S4).
///
/// Forgetting it is safe, but the object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct RefGuard<'a, V: Variant + ?Sized> {
    rundown: &'a Rundown<V>,
    record: Record,
}

impl<'a, V: Variant + ?Sized> RefGuard<'a, V> {
    /// The caller owns one protection on `rundown` and hands it over.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub(crate) fn new(rundown: &'a Rundown<V>) -> Self {
        Self {
            rundown,
            record: Record::new::<V::Platform>(rundown.id(), 1),
        }
    }
}

impl<V: Variant + ?Sized> RefGuard<'_, V> {
    /// One more protection of the same object, in any state of it (S12): also while it drains, which
    /// then waits for the clone as well. Same contexts as [`Rundown::try_acquire`].
    ///
    /// Guards that are cloned again and again keep a drain from ending.
    ///
    /// # Errors
    /// [`Refused::Full`] if the object cannot count one more.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_clone(&self) -> Result<Self, Refused> {
        // SAFETY: this guard holds protection.
        unsafe { self.rundown.take_more(1)? };
        Ok(Self::new(self.rundown))
    }
}

/// As [`try_clone`](RefGuard::try_clone).
///
/// # Panics
/// If the object is full.
impl<V: Variant + ?Sized> Clone for RefGuard<'_, V> {
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(cannot_clone)
    }
}

/// A guard could not be cloned.
#[cold]
pub(crate) fn cannot_clone<T>(refused: Refused) -> T {
    panic!("a guard was not cloned: {refused}")
}

impl<V: Variant + ?Sized> Drop for RefGuard<'_, V> {
    #[inline]
    fn drop(&mut self) {
        self.record.end();
        // SAFETY: the guard owns one protection (`new`), and this is the only place that gives it
        // up.
        unsafe { V::release(self.rundown, 1) }
    }
}

impl<V: Variant + ?Sized> fmt::Debug for RefGuard<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefGuard({})", self.rundown.id())
    }
}

/// Several protections on one object; dropping it releases them all at once. May be sent to another
/// CPU or thread, or [split](RefGuards::split_off) among several.
///
/// Forgetting it is safe, but the object will never drain.
#[must_use = "protection ends when the guards are dropped"]
pub struct RefGuards<'a, V: Variant + ?Sized> {
    rundown: &'a Rundown<V>,
    count: u32,
    record: Record,
}

impl<'a, V: Variant + ?Sized> RefGuards<'a, V> {
    /// The caller owns `count` protections on `rundown` and hands them over.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub(crate) fn new(rundown: &'a Rundown<V>, count: u32) -> Self {
        Self {
            rundown,
            count,
            record: Record::new::<V::Platform>(rundown.id(), count),
        }
    }

    /// How many protections these are.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Hands over `n` of them. Never touches the object.
    ///
    /// # Panics
    /// If there are fewer than `n`.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn split_off(&mut self, n: u32) -> Self {
        let Some(rest) = self.count.checked_sub(n) else {
            panic!("cannot split {n} off {} protections", self.count);
        };
        self.count = rest;
        self.record.recount(rest);
        Self::new(self.rundown, n)
    }

    /// Hands over one of them as a guard of its own, or `None` if none is left.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn take_one(&mut self) -> Option<RefGuard<'a, V>> {
        self.count = self.count.checked_sub(1)?;
        self.record.recount(self.count);
        Some(RefGuard::new(self.rundown))
    }

    /// Adds the protections of `other`, or gives it back if it is of another object.
    ///
    /// # Errors
    /// `other`, if it is of another object or the sum exceeds `u32::MAX`.
    pub fn merge(&mut self, mut other: Self) -> Result<(), Self> {
        match self.count.checked_add(other.count) {
            Some(sum) if self.rundown.id() == other.rundown.id() => {
                self.count = sum;
                self.record.recount(sum);
                // Its drop then releases none.
                mem::take(&mut other.count);
                Ok(())
            }
            _ => Err(other),
        }
    }
}

impl<V: Variant + ?Sized> RefGuards<'_, V> {
    /// As many protections again of the same object: see [`RefGuard::try_clone`].
    ///
    /// # Errors
    /// [`Refused::Full`] if the object cannot count as many more.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_clone(&self) -> Result<Self, Refused> {
        // Guards that hold nothing keep nothing from being torn down.
        if self.count > 0 {
            // SAFETY: these guards hold protection.
            unsafe { self.rundown.take_more(self.count)? };
        }
        Ok(Self::new(self.rundown, self.count))
    }
}

/// As [`try_clone`](RefGuards::try_clone).
///
/// # Panics
/// If the object is full.
impl<V: Variant + ?Sized> Clone for RefGuards<'_, V> {
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(cannot_clone)
    }
}

impl<V: Variant + ?Sized> Drop for RefGuards<'_, V> {
    #[inline]
    fn drop(&mut self) {
        self.record.end();
        if self.count > 0 {
            // SAFETY: these are `count` protections (`new`), whatever was handed over is subtracted,
            // and this is the only place that gives them up.
            unsafe { V::release(self.rundown, self.count) }
        }
    }
}

impl<V: Variant + ?Sized> fmt::Debug for RefGuards<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefGuards({} on {})", self.count, self.rundown.id())
    }
}
