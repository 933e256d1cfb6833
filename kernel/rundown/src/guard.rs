//! Protection as a value: [`RefGuard`].

use crate::lifecycle::Rundown;

/// One protection; dropping it releases. May be sent to another CPU or thread and dropped there
/// (S4).
///
/// Forgetting it is safe, but the object will never drain.
#[must_use = "protection ends when the guard is dropped"]
pub struct RefGuard<'a, R: Rundown> {
    rundown: &'a R,
}

impl<'a, R: Rundown> RefGuard<'a, R> {
    /// The caller owns one protection on `rundown` and hands it over.
    #[inline]
    pub(crate) fn new(rundown: &'a R) -> Self {
        Self { rundown }
    }
}

impl<R: Rundown> Drop for RefGuard<'_, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard owns one protection (`new`), and this is the only place that gives it
        // up.
        unsafe { self.rundown.release() }
    }
}
