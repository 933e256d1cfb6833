//! Running down as a future: [`RunDownFuture`].

use core::fmt;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use super::{Protected, RunDownError};
use crate::future::DrainFuture;
use crate::platform::AsyncPlatform;
use crate::rundown::Rundown;

/// The end of a run-down: what `object.run_down_async().await` waits for. See
/// [`Protected::run_down_async`].
#[must_use = "a future does nothing unless it is polled"]
pub struct RunDownFuture<'a, T, R: Rundown<Platform: AsyncPlatform>> {
    protected: &'a Protected<T, R>,
    drained: DrainFuture<'a, R>,
}

impl<'a, T, R: Rundown<Platform: AsyncPlatform>> RunDownFuture<'a, T, R> {
    pub(super) fn new(protected: &'a Protected<T, R>) -> Self {
        Self {
            protected,
            drained: protected.drain().into_future(),
        }
    }
}

impl<T, R: Rundown<Platform: AsyncPlatform>> Future for RunDownFuture<'_, T, R> {
    type Output = Result<T, RunDownError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `drained` is not moved; the other field needs no pinning.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: the future is pinned, and so is its field.
        let drained = unsafe { Pin::new_unchecked(&mut this.drained) };
        let outcome = ready!(drained.poll(context));
        Poll::Ready(this.protected.take_after(outcome, this.drained.era()))
    }
}

impl<T, R: Rundown<Platform: AsyncPlatform>> fmt::Debug for RunDownFuture<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunDownFuture").field(&self.drained).finish()
    }
}
