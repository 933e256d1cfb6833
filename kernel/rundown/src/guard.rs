//! Protection as a value: [`RefGuard`], and [`RefGuards`], which is several.

use core::{fmt, mem};

use crate::holders::Record;
use crate::state::Refused;
use crate::variant::{Rundown, Variant};

/// One protection, or several (`N` is [`Many`] then, see [`RefGuards`]); dropping it releases. May
/// be sent to another CPU or thread and dropped there (S4).
///
/// Forgetting it is safe, but the object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct RefGuard<'a, V: Variant + ?Sized, N: Number = One> {
    rundown: &'a Rundown<V>,
    number: N,
    record: Record,
}

/// Several protections on one object; dropping it releases them all at once. May be sent to another
/// CPU or thread, or [split](RefGuards::split_off) among several.
pub type RefGuards<'a, V> = RefGuard<'a, V, Many>;

/// How many protections a guard is: [`One`] or [`Many`].
pub trait Number: Copy + Send + Sync {
    #[doc(hidden)]
    fn get(self) -> u32;
}

/// The number of a guard of one protection. It takes no room.
#[derive(Clone, Copy, Debug)]
pub struct One;

/// The number of a guard of several protections, or of none.
#[derive(Clone, Copy, Debug)]
pub struct Many(pub(crate) u32);

impl Number for One {
    #[inline]
    fn get(self) -> u32 {
        1
    }
}

impl Number for Many {
    #[inline]
    fn get(self) -> u32 {
        self.0
    }
}

impl<'a, V: Variant + ?Sized, N: Number> RefGuard<'a, V, N> {
    /// The caller owns `number` protections on `rundown` and hands them over.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub(crate) fn new(rundown: &'a Rundown<V>, number: N) -> Self {
        Self {
            rundown,
            number,
            record: Record::new::<V::Platform>(rundown.id(), number.get()),
        }
    }

    /// How many protections it is.
    pub fn count(&self) -> u32 {
        self.number.get()
    }

    /// As many protections again of the same object, in any state of it (S12): also while it
    /// drains, which then waits for the clone as well. Same contexts as [`Rundown::try_acquire`].
    ///
    /// Guards that are cloned again and again keep a drain from ending.
    ///
    /// # Errors
    /// [`Refused::Full`] if the object cannot count as many more.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_clone(&self) -> Result<Self, Refused> {
        // A guard that holds nothing keeps nothing from being torn down.
        if self.count() > 0 {
            // SAFETY: this guard holds protection.
            unsafe { self.rundown.take_more(self.count())? };
        }
        Ok(Self::new(self.rundown, self.number))
    }
}

/// As [`try_clone`](RefGuard::try_clone).
///
/// # Panics
/// If the object is full.
impl<V: Variant + ?Sized, N: Number> Clone for RefGuard<'_, V, N> {
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

impl<V: Variant + ?Sized, N: Number> Drop for RefGuard<'_, V, N> {
    #[inline]
    fn drop(&mut self) {
        self.record.end();
        if self.count() > 0 {
            // SAFETY: the guard owns so many protections (`new`), whatever was handed over is
            // subtracted, and this is the only place that gives them up.
            unsafe { V::release(self.rundown, self.count()) }
        }
    }
}

impl<V: Variant + ?Sized, N: Number> fmt::Debug for RefGuard<'_, V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefGuard({} on {})", self.count(), self.rundown.id())
    }
}

impl<'a, V: Variant + ?Sized> RefGuards<'a, V> {
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
        Self::new(self.rundown, Many(n))
    }

    /// Hands over one of them as a guard of its own, or `None` if none is left.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn take_one(&mut self) -> Option<RefGuard<'a, V>> {
        let rest = self.count().checked_sub(1)?;
        self.recount(rest);
        Some(RefGuard::new(self.rundown, One))
    }

    /// Adds the protections of `other`, or gives it back if it is of another object.
    ///
    /// # Errors
    /// `other`, if it is of another object or the sum exceeds `u32::MAX`.
    pub fn merge(&mut self, mut other: Self) -> Result<(), Self> {
        match self.count().checked_add(other.count()) {
            Some(sum) if self.rundown.id() == other.rundown.id() => {
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
        self.record.recount(count);
    }
}
