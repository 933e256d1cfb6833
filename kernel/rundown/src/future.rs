//! Waiting as a future: [`DrainFuture`].

use core::fmt;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::drain::Drain;
use crate::platform::AsyncPlatform;
use crate::rundown::Rundown;
use crate::state::WaitOutcome;
use crate::wakers::{Entry, Wakers};
use crate::word::Era;

/// The end of a wait: what `rundown.drain().await` waits for.
///
/// Works with any executor. Dropping it ends the wait and leaves no trace; the object stays closed.
/// `poll` and `drop` take a short spin lock: see [`Wakers`](crate::Wakers) for where that is legal.
#[must_use = "a future does nothing unless it is polled"]
pub struct DrainFuture<'a, R>
where
    R: Rundown<Platform: AsyncPlatform> + ?Sized,
{
    drain: Drain<'a, R>,
    /// The table that `entry` may be in: the same for good, whatever the platform answers later.
    entered: Option<&'static Wakers>,
    entry: Entry,
}

impl<'a, R> IntoFuture for Drain<'a, R>
where
    R: Rundown<Platform: AsyncPlatform> + ?Sized,
{
    type Output = WaitOutcome;
    type IntoFuture = DrainFuture<'a, R>;

    fn into_future(self) -> DrainFuture<'a, R> {
        DrainFuture {
            drain: self,
            entered: None,
            entry: Entry::new(),
        }
    }
}

impl<R> DrainFuture<'_, R>
where
    R: Rundown<Platform: AsyncPlatform> + ?Sized,
{
    /// The life whose end it saw.
    pub(crate) fn era(&self) -> Option<Era> {
        self.drain.era()
    }
}

impl<R> Future for DrainFuture<'_, R>
where
    R: Rundown<Platform: AsyncPlatform> + ?Sized,
{
    type Output = WaitOutcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<WaitOutcome> {
        // SAFETY: `entry` is not moved; the other fields need no pinning.
        let this = unsafe { self.get_unchecked_mut() };
        if let Some(outcome) = this.drain.poll() {
            return Poll::Ready(outcome);
        }
        let wakers = *this.entered.get_or_insert_with(R::Platform::wakers);
        // SAFETY: the future is pinned, and so is its field.
        let entry = unsafe { Pin::new_unchecked(&this.entry) };
        // SAFETY: `drop` leaves this table's list.
        unsafe { entry.enter(wakers, this.drain.object(), context.waker()) };
        // The wake-up may have come between the look and the entry.
        match this.drain.poll() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl<R> Drop for DrainFuture<'_, R>
where
    R: Rundown<Platform: AsyncPlatform> + ?Sized,
{
    fn drop(&mut self) {
        if let Some(wakers) = self.entered {
            self.entry.leave(wakers, self.drain.object());
        }
    }
}

impl<R> fmt::Debug for DrainFuture<'_, R>
where
    R: Rundown<Platform: AsyncPlatform> + ?Sized,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DrainFuture").field(&self.drain).finish()
    }
}
