//! A wait in progress: [`Drain`], and what it has in common with a [`RunDown`](crate::RunDown).
//!
//! `unsafe` here: a field that is pinned with the future.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::guard::Reach;
use crate::lifecycle::NotClosed;
use crate::platform::{AsyncPlatform, Clock, Wait, Waiting};
use crate::state::{ObjectId, State, WaitOutcome};
use crate::variant::{Rundown, Variant};
use crate::wakers::Entry;
use crate::word::{Epoch, Snapshot};

/// A wait that has begun, from [`Rundown::drain`]: it remembers which epoch it waits for, and so
/// gives the right answer even if the object has been opened and closed again since (S6).
///
/// With an [`AsyncPlatform`] it is a future, for any executor; `poll` and `drop` of the future take
/// a short spin lock then: see [`Wakers`](crate::Wakers) for where that is legal. Dropping it ends
/// the wait; the object stays as it is.
pub type Drain<'a, V> = Waits<&'a Rundown<V>>;

/// A wait for the object that `R` leads to: a [`Drain`], or a [`RunDown`](crate::RunDown).
#[must_use = "closing has begun, but nothing waits"]
pub struct Waits<R: Awaited> {
    of: R,
    /// The one that it closed or found closed. `None` while another caller has the object claimed,
    /// or where it may not be closed.
    epoch: Option<Epoch>,
    /// The only generation that it closes, if there is one.
    generation: Option<u64>,
    entry: Entry,
}

/// The way to an object that is waited for, and how the wait ends. Sealed, as is [`Reach`].
pub trait Awaited: Reach {
    /// How a wait ends.
    type End;
    /// How a wait with a deadline ends.
    type InTime;

    /// The wait for `epoch`, if it was closed, has ended so.
    #[doc(hidden)]
    fn end(&self, outcome: WaitOutcome, epoch: Option<Epoch>) -> Self::End;

    #[doc(hidden)]
    fn in_time(end: Result<Self::End, Outstanding>) -> Self::InTime;
}

impl<V: Variant + ?Sized> Awaited for &Rundown<V> {
    type End = WaitOutcome;
    type InTime = Result<WaitOutcome, Outstanding>;

    fn end(&self, outcome: WaitOutcome, _: Option<Epoch>) -> WaitOutcome {
        outcome
    }

    fn in_time(end: Self::InTime) -> Self::InTime {
        end
    }
}

impl<R: Awaited> Waits<R> {
    /// For `generation` only, if that is given; if it is over, so is the wait.
    pub(crate) fn start(of: R, generation: Option<u64>) -> Self {
        let mut this = Self { of, epoch: None, generation, entry: Entry::new() };
        // If the object is claimed, or may not be closed here, a later look finds out.
        let _ = this.closed();
        this
    }

    /// Whether the wait is over, and how it ended: a few loads. But if the object could not be
    /// closed when the wait began, since it was [claimed](State::Claimed) or the context was wrong,
    /// this also closes it, as soon as it may (so it is legal where [`Rundown::close`] is, and
    /// elsewhere returns [`WaitOutcome::IllegalContext`]).
    pub fn poll(&mut self) -> Option<R::End> {
        let outcome = self.ended()?;
        Some(self.end(outcome))
    }

    /// Waits as `policy` does. Contexts as for [`Rundown::wait`].
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait(&mut self, policy: &dyn Wait) -> R::End {
        let ended = self.wait_unless(policy, None, || false);
        self.end(ended.expect("it is never too late"))
    }

    /// Waits as `policy` does, until `deadline` at most: see [`Rundown::wait_deadline`].
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait_deadline(&mut self, policy: &dyn Wait, deadline: u64) -> R::InTime
    where
        PlatformOf<R>: Clock,
    {
        let is_late = || PlatformOf::<R>::now() >= deadline;
        let ended = self.wait_unless(policy, Some(deadline), is_late);
        R::in_time(ended.map(|outcome| self.end(outcome)).ok_or_else(|| {
            let outstanding = self.outstanding();
            crate::holders::missed_deadline::<PlatformOf<R>>(&outstanding);
            outstanding
        }))
    }

    /// The protections still held. As racy as [`Rundown::racy_held`].
    pub fn outstanding(&self) -> Outstanding {
        Outstanding {
            object: self.object(),
            state: self.rundown().state(),
            held: self.rundown().racy_held(),
        }
    }

    /// Which object it waits for.
    pub fn object(&self) -> ObjectId {
        self.rundown().id()
    }

    fn rundown(&self) -> &Rundown<R::Variant> {
        self.of.rundown()
    }

    fn end(&self, outcome: WaitOutcome) -> R::End {
        self.of.end(outcome, self.epoch)
    }

    fn ended(&mut self) -> Option<WaitOutcome> {
        match self.closed() {
            Ok(epoch) => outcome(epoch?, self.rundown().gate.snapshot()),
            Err(illegal) => Some(illegal),
        }
    }

    /// Waits as `policy` does, until the wait is over or `is_late`; `None` if it is late.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn wait_unless(
        &mut self,
        policy: &dyn Wait,
        deadline: Option<u64>,
        is_late: impl Fn() -> bool,
    ) -> Option<WaitOutcome> {
        let mut ended = self.ended();
        if ended.is_some() {
            return ended;
        }
        crate::holders::about_to_wait::<PlatformOf<R>>(self.object());
        let waiting = Waiting::new(self.object(), deadline);
        let mut late = false;
        // Again, if the policy returns early: that breaks its contract, but must not break S2.
        while ended.is_none() && !late {
            policy.wait_until(waiting, &mut || {
                ended = ended.or_else(|| self.peek());
                late = ended.is_none() && is_late();
                ended.is_some() || late || self.may_close()
            });
            ended = ended.or_else(|| self.ended());
            late |= ended.is_none() && is_late();
        }
        ended
    }

    /// As `ended`, but only looks: a policy may hold a lock that the wake-up after a close takes.
    fn peek(&self) -> Option<WaitOutcome> {
        outcome(self.epoch?, self.rundown().gate.snapshot())
    }

    /// Whether what kept this from closing the object is over.
    fn may_close(&self) -> bool {
        self.epoch.is_none() && self.rundown().state() != State::Claimed
    }

    /// Closes the object, unless that is done or not possible yet.
    fn closed(&mut self) -> Result<Option<Epoch>, WaitOutcome> {
        if self.epoch.is_none() {
            self.epoch = match self.rundown().try_close(self.generation, false) {
                Ok(epoch) => Some(epoch),
                Err(NotClosed::IllegalContext) => return Err(WaitOutcome::IllegalContext),
                Err(NotClosed::Found(seen)) => match self.generation {
                    // Over: any epoch of it says so.
                    Some(generation) if generation != seen.word.epoch().generation => {
                        Some(Epoch { generation, cancels: 0 })
                    }
                    _ if seen.state == State::Claimed => None,
                    _ => Some(seen.word.epoch()),
                },
            };
        }
        Ok(self.epoch)
    }
}

impl<R: Awaited<Variant: Variant<Platform: AsyncPlatform>>> Future for Waits<R> {
    type Output = R::End;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R::End> {
        // SAFETY: `entry` is not moved; the other fields need no pinning.
        let this = unsafe { self.get_unchecked_mut() };
        if let Some(end) = this.poll() {
            return Poll::Ready(end);
        }
        let object = this.object();
        // SAFETY: the future is pinned, and so is its field.
        let entry = unsafe { Pin::new_unchecked(&mut this.entry) };
        entry.enter(PlatformOf::<R>::wakers, object, context.waker());
        // The wake-up may have come between the look and the entry.
        this.poll().map_or(Poll::Pending, Poll::Ready)
    }
}

text!((<V: Variant + ?Sized> fmt::Debug for Drain<'_, V>) this =>
    "Drain({} is {})", this.object(), this.of.state());

type PlatformOf<R> = <<R as Reach>::Variant as Variant>::Platform;

/// The object has not drained yet.
///
/// With feature `diagnosis`, its `Display` also lists the holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outstanding {
    /// Which object.
    pub object: ObjectId,
    /// The state it was found in.
    pub state: State,
    /// How many protections were held a moment ago. As racy as
    /// [`racy_held`](crate::Rundown::racy_held).
    pub held: i64,
}

impl fmt::Display for Outstanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, state, held } = self;
        write!(f, "the object at {object} is {state}, {held} held")?;
        crate::holders::list(self.object, f)
    }
}

impl core::error::Error for Outstanding {}

/// How the wait for the end of `epoch` ended, judged by what is seen now.
fn outcome(epoch: Epoch, seen: Snapshot) -> Option<WaitOutcome> {
    // Another generation can only come after this one has drained, and so can a claim in this one.
    if seen.word.epoch().generation != epoch.generation {
        return Some(WaitOutcome::Drained);
    }
    match seen.state {
        State::Drained | State::RunDown | State::Claimed => Some(WaitOutcome::Drained),
        State::Open => Some(WaitOutcome::Cancelled),
        State::Closing | State::Draining => {
            (seen.word.epoch().cancels != epoch.cancels).then_some(WaitOutcome::Cancelled)
        }
    }
}
