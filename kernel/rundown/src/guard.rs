//! Protection as a value: [`RefGuard`] and [`RefGuards`].

use core::{fmt, mem};

use crate::diagnosis::Record;
use crate::platform::ObjectId;
use crate::rundown::Rundown;

/// One protection; dropping it releases. May be sent to another CPU or thread and dropped there
/// (S4).
///
/// Forgetting it is safe, but the object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct RefGuard<'a, R: Rundown + ?Sized> {
    rundown: &'a R,
    record: Record,
}

impl<'a, R: Rundown + ?Sized> RefGuard<'a, R> {
    /// The caller owns one protection on `rundown` and hands it over.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub(crate) fn new(rundown: &'a R) -> Self {
        Self {
            rundown,
            record: Record::new::<R::Platform>(rundown.id(), 1),
        }
    }
}

impl<R: Rundown + ?Sized> Drop for RefGuard<'_, R> {
    #[inline]
    fn drop(&mut self) {
        self.record.end();
        // SAFETY: the guard owns one protection (`new`), and this is the only place that gives it
        // up.
        unsafe { self.rundown.drop_references(1) }
    }
}

impl<R: Rundown + ?Sized> fmt::Debug for RefGuard<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefGuard({})", ObjectId::of(self.rundown))
    }
}

/// Several protections on one object; dropping it releases them all at once. May be sent to another
/// CPU or thread, or [split](RefGuards::split_off) among several.
///
/// Forgetting it is safe, but the object will never drain.
#[must_use = "protection ends when the guards are dropped"]
pub struct RefGuards<'a, R: Rundown + ?Sized> {
    rundown: &'a R,
    count: u32,
    record: Record,
}

impl<'a, R: Rundown + ?Sized> RefGuards<'a, R> {
    /// The caller owns `count` protections on `rundown` and hands them over.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub(crate) fn new(rundown: &'a R, count: u32) -> Self {
        Self {
            rundown,
            count,
            record: Record::new::<R::Platform>(rundown.id(), count),
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
    pub fn take_one(&mut self) -> Option<RefGuard<'a, R>> {
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

impl<R: Rundown + ?Sized> Drop for RefGuards<'_, R> {
    #[inline]
    fn drop(&mut self) {
        self.record.end();
        if self.count > 0 {
            // SAFETY: these are `count` protections (`new`), whatever was handed over is subtracted,
            // and this is the only place that gives them up.
            unsafe { self.rundown.drop_references(self.count) }
        }
    }
}

impl<R: Rundown + ?Sized> fmt::Debug for RefGuards<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RefGuards({} on {})",
            self.count,
            ObjectId::of(self.rundown)
        )
    }
}
