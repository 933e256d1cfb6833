//! A wait in progress: [`Drain`].

use core::fmt;

use crate::lifecycle;
use crate::platform::{Clock, ObjectId, Wait, Waiting};
use crate::rundown::Rundown;
use crate::state::{Outstanding, State, WaitOutcome};
use crate::word::{Era, Snapshot};

/// A wait that has begun, from [`Rundown::drain`]: it remembers what it waits for. So it gives the
/// right answer however late it is asked, even if the object has been opened and closed again
/// since (S6).
///
/// Dropping it ends the wait and leaves no trace; the object stays as it is. With an
/// [`AsyncPlatform`](crate::AsyncPlatform) it can be awaited.
#[must_use = "closing has begun, but nobody waits"]
pub struct Drain<'a, R: Rundown + ?Sized> {
    rundown: &'a R,
    /// What it closed or found closed. `None` while another caller has the object claimed.
    era: Option<Era>,
}

impl<'a, R: Rundown + ?Sized> Drain<'a, R> {
    pub(crate) fn start(rundown: &'a R) -> Self {
        let mut drain = Self { rundown, era: None };
        drain.closed();
        drain
    }

    /// Whether the wait is over, and how it ended. Never waits for that; any context.
    ///
    /// A few loads; but if the object was [claimed](State::Claimed) when the wait began, this also
    /// closes it, as soon as that is over (so it is legal where [`Rundown::close`] is).
    pub fn poll(&mut self) -> Option<WaitOutcome> {
        let era = self.closed()?;
        outcome(era, self.rundown.look())
    }

    /// Waits as `policy` does. Contexts as for [`Rundown::wait`].
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait<W: Wait + ?Sized>(&mut self, policy: &W) -> WaitOutcome {
        match self.wait_unless(policy, None, || false) {
            Some(outcome) => outcome,
            None => unreachable!("it is never too late"),
        }
    }

    /// Waits as `policy` does, at most until the platform's clock has reached `deadline`. May be
    /// called again.
    ///
    /// # Errors
    /// [`Outstanding`] says how many are still held. The object stays as it is: closed, unless another
    /// caller has it [claimed](State::Claimed).
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait_deadline<W: Wait + ?Sized>(
        &mut self,
        policy: &W,
        deadline: u64,
    ) -> Result<WaitOutcome, Outstanding>
    where
        R::Platform: Clock,
    {
        let is_late = || R::Platform::now() >= deadline;
        let ended = self.wait_unless(policy, Some(deadline), is_late);
        ended.ok_or_else(|| {
            let outstanding = self.outstanding();
            crate::diagnosis::missed_deadline::<R::Platform>(&outstanding);
            outstanding
        })
    }

    /// What is still held. As racy as [`Rundown::racy_held`].
    #[must_use]
    pub fn outstanding(&self) -> Outstanding {
        Outstanding {
            object: self.object(),
            state: self.rundown.state(),
            held: self.rundown.racy_held(),
        }
    }

    /// Which object it waits for.
    #[must_use]
    pub fn object(&self) -> ObjectId {
        self.rundown.id()
    }

    /// The life whose end it saw, for those who go on to claim it.
    pub(crate) fn era(&self) -> Option<Era> {
        self.era
    }

    /// Waits as `policy` does, until the wait is over or `is_late`; `None` if it is late.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn wait_unless<W: Wait + ?Sized>(
        &mut self,
        policy: &W,
        deadline: Option<u64>,
        is_late: impl Fn() -> bool,
    ) -> Option<WaitOutcome> {
        let mut ended = self.poll();
        if ended.is_some() {
            return ended;
        }
        crate::diagnosis::about_to_wait::<R::Platform>(self.object());
        let waiting = Waiting::new(self.object(), deadline);
        let mut late = false;
        // Again, if the policy returns early: that breaks its contract, but must not break S2.
        while ended.is_none() && !late {
            policy.wait_until(waiting, &mut || {
                ended = ended.or_else(|| self.peek());
                late = ended.is_none() && is_late();
                ended.is_some() || late || self.may_close()
            });
            ended = ended.or_else(|| self.poll());
            late |= ended.is_none() && is_late();
        }
        ended
    }

    /// As `poll`, but only looks: a policy may hold a lock that the wake-up after a close takes.
    fn peek(&self) -> Option<WaitOutcome> {
        outcome(self.era?, self.rundown.look())
    }

    /// Whether what kept this from closing the object is over.
    fn may_close(&self) -> bool {
        self.era.is_none() && self.rundown.state() != State::Claimed
    }

    /// Closes the object, unless that is done or not possible yet.
    fn closed(&mut self) -> Option<Era> {
        if self.era.is_none() {
            self.era = lifecycle::close(self.rundown)
                .ok()
                .map(|closing| closing.era);
        }
        self.era
    }
}

impl<R: Rundown + ?Sized> fmt::Debug for Drain<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("object", &self.object())
            .field("state", &self.rundown.state())
            .finish_non_exhaustive()
    }
}

/// How the wait for the end of `era` ended, judged by what is seen now.
fn outcome(era: Era, seen: Snapshot) -> Option<WaitOutcome> {
    // Another life can only come after this one has drained, and so can a claim in this one. What
    // was carried over from a cancelled drain is in the later one.
    if seen.era.life != era.life {
        return Some(WaitOutcome::Drained);
    }
    match seen.state {
        State::Drained | State::RunDown | State::Claimed => Some(WaitOutcome::Drained),
        State::Open => Some(WaitOutcome::Cancelled),
        State::Closing | State::Draining => {
            (seen.era.cancels != era.cancels).then_some(WaitOutcome::Cancelled)
        }
    }
}
