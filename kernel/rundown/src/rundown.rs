//! [`Rundown`]: what users and owners call, once for all kinds.

use crate::batch;
use crate::counts::RacyCounts;
use crate::drain::Drain;
use crate::guard::{RefGuard, RefGuards};
use crate::lifecycle::{self, Claimed, Kind};
use crate::platform::{Clock, ObjectId, Wait};
use crate::state::{CloseOutcome, Outstanding, Refused, State, WaitOutcome, WrongState};

/// Rundown protection: the contract all kinds keep (S1 to S11 in the [crate documentation](crate)).
///
/// Users: [`try_acquire`](Rundown::try_acquire). Owner: [`wait`](Rundown::wait), then free the
/// guarded thing, or [`reinit`](Rundown::reinit). The trait is sealed: its promises are relied on
/// by `unsafe` code.
pub trait Rundown: Kind {
    /// Takes protection, or `None` if the object is closed (or [full](Refused::Full)).
    ///
    /// Legal in any context, NMI included; never allocates, blocks or disables interrupts (S5).
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn try_acquire(&self) -> Option<RefGuard<'_, Self>> {
        self.take_references(1).ok()?;
        Some(RefGuard::new(self))
    }

    /// Takes `n` protections at once, all or none (S7). With `n` = 0 it only asks whether the object
    /// is open, and protects nothing. Same contexts as `try_acquire`.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn try_acquire_many(&self, n: u32) -> Option<RefGuards<'_, Self>> {
        self.take_references(n).ok()?;
        Some(RefGuards::new(self, n))
    }

    /// Takes protection without a guard. Pair it with one [`release`](Rundown::release).
    ///
    /// Forgetting the release is safe, but the object will never drain. Same contexts as
    /// `try_acquire`.
    ///
    /// # Errors
    /// [`Refused`] says why; nothing is held then.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn acquire(&self) -> Result<(), Refused> {
        self.acquire_many(1)
    }

    /// Takes `n` protections without guards, all or none (S7).
    ///
    /// They may be [released](Rundown::release_many) in other portions than they were taken in. Same
    /// contexts as `try_acquire`.
    ///
    /// # Errors
    /// [`Refused`] says why; nothing is held then.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn acquire_many(&self, n: u32) -> Result<(), Refused> {
        self.take_references(n)?;
        crate::diagnosis::took_raw::<Self::Platform>(self.id(), n);
        Ok(())
    }

    /// Gives protection back. Any CPU and any context may do it, also another one than took it
    /// (S4).
    ///
    /// The moment this lets the last waiter go, the object may be gone: the caller must not
    /// touch it again through what the protection guarded, and this function does not either (S3).
    ///
    /// # Safety
    /// The caller owns one protection, from [`acquire`](Rundown::acquire) on this object, and gives
    /// it up.
    #[inline]
    unsafe fn release(&self) {
        // SAFETY: the same contract.
        unsafe { self.release_many(1) }
    }

    /// Gives `n` protections back, like [`release`](Rundown::release).
    ///
    /// # Safety
    /// The caller owns `n` protections, from [`acquire`](Rundown::acquire) or
    /// [`acquire_many`](Rundown::acquire_many) on this object, and gives them up. If it does not,
    /// [`Platform::misuse`](crate::Platform::misuse) is told, at the latest when the object drains.
    #[inline]
    unsafe fn release_many(&self, n: u32) {
        crate::diagnosis::release_raw::<Self::Platform>(self.id(), n);
        // SAFETY: the same contract.
        unsafe { self.drop_references(n) }
    }

    /// Closes the object: every acquire that starts after this returns is refused (S1), until it is
    /// opened again.
    ///
    /// Never waits; legal in any context. Takes one step per slot (on the plain kind, one
    /// compare-and-swap, again if a user comes in between).
    ///
    /// Only [`PerCpuRundown`](crate::PerCpuRundown) waits, for a [barrier](crate::PerCpu::barrier), for
    /// a bounded time, and is legal where that is; so are all calls here that close the object first.
    fn close(&self) -> CloseOutcome {
        match lifecycle::close(self) {
            Ok(closing) if closing.first => CloseOutcome::Closed,
            Ok(_) => CloseOutcome::AlreadyClosed,
            Err(Claimed) => CloseOutcome::Superseded,
        }
    }

    /// Closes those of the objects that are open. Like [`close`](Rundown::close) for each, but with
    /// one [barrier](crate::PerCpu::barrier) for all, if the kind needs one. The same object may be in
    /// the list twice.
    ///
    /// # Panics
    /// Only as [`Platform::misuse`](crate::Platform::misuse) does: if more was released than taken of
    /// one of them, the others are closed nevertheless (a second panic among those ends the program).
    /// If the platform's barrier itself panics, the objects stay [closing](State::Closing) for ever.
    ///
    /// ```
    /// use rundown::{HostPlatform, Rundown, RundownRef, Spin};
    ///
    /// let objects = [const { RundownRef::<HostPlatform>::new() }; 100];
    /// Rundown::close_all(&objects.each_ref());
    /// for object in &objects {
    ///     let _ = object.wait(&Spin);
    /// }
    /// ```
    fn close_all(objects: &[&Self]) {
        batch::close_all(objects);
    }

    /// Closes the object if it is open, and returns when everything it granted is released (S2), or
    /// when the drain is [cancelled](Rundown::cancel).
    ///
    /// What was done under protection happens-before the return. Any number of callers may wait, at
    /// the same time or later; all return (S6). If another caller is [re-opening](State::Claimed)
    /// the object when this starts, this comes after it: it closes the new life.
    ///
    /// Thread context only, and not while the caller holds protection itself: it would wait for
    /// itself.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn wait<W: Wait + ?Sized>(&self, policy: &W) -> WaitOutcome {
        self.drain().wait(policy)
    }

    /// Like [`wait`](Rundown::wait), but gives up when the platform's clock has reached `deadline`.
    /// Contexts as there.
    ///
    /// # Errors
    /// [`Outstanding`] says how many are still held. The object stays closed and drains on: wait
    /// again, or [`cancel`](Rundown::cancel). (If another caller had it [claimed](State::Claimed)
    /// all the time, it is not closed yet.) A deadline in the past makes one attempt.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    fn wait_deadline<W: Wait + ?Sized>(
        &self,
        policy: &W,
        deadline: u64,
    ) -> Result<WaitOutcome, Outstanding>
    where
        Self::Platform: Clock,
    {
        self.drain().wait_deadline(policy, deadline)
    }

    /// Closes the object if it is open, and says whether it has drained. Never waits for that; legal
    /// where [`close`](Rundown::close) is.
    ///
    /// # Errors
    /// [`Outstanding`] says how many are still held, and the state: closed, unless another caller had
    /// the object [claimed](State::Claimed), or cancelled the drain at this very moment.
    fn try_wait(&self) -> Result<(), Outstanding> {
        let mut drain = self.drain();
        match drain.poll() {
            Some(WaitOutcome::Drained) => Ok(()),
            Some(WaitOutcome::Cancelled) | None => Err(drain.outstanding()),
        }
    }

    /// Closes the object if it is open, and starts to wait: the [`Drain`] can be polled, awaited, or
    /// waited for with a policy. Never waits for it itself; legal where [`close`](Rundown::close) is.
    fn drain(&self) -> Drain<'_, Self> {
        Drain::start(self)
    }

    /// Opens a draining object again, with what is still held (S10). Never waits; any context.
    ///
    /// Every waiter whose wait began before this returns [`WaitOutcome::Cancelled`], unless it finds
    /// that the object has drained since. Against a concurrent close, the later of the two wins.
    ///
    /// # Errors
    /// [`WrongState`] if it is open, drained, or another caller is at work on it
    /// ([`State::Closing`], [`State::Claimed`]); nothing changed.
    fn cancel(&self) -> Result<(), WrongState> {
        lifecycle::cancel(self)
    }

    /// Marks a drained object run down. Doing it twice is no error. Any context.
    ///
    /// # Errors
    /// [`WrongState`] if it is open, draining or claimed; nothing changed.
    fn complete(&self) -> Result<(), WrongState> {
        lifecycle::complete(self)
    }

    /// Opens a drained object again, whether it was marked run down or not. Any context.
    ///
    /// What the caller did before happens-before every protection granted from then on.
    ///
    /// # Errors
    /// [`WrongState`] if it is open, draining or claimed by another caller; nothing changed.
    fn reinit(&self) -> Result<(), WrongState> {
        let era = lifecycle::claim(self, |seen| {
            matches!(seen.state, State::Drained | State::RunDown)
        })?;
        lifecycle::reopen(self, era);
        Ok(())
    }

    /// Opens an object for the first time that was born closed (S9). The same step as
    /// [`reinit`](Rundown::reinit), but not legal on an object that was closed and not marked run
    /// down.
    ///
    /// # Errors
    /// [`WrongState`] unless the object is run down; nothing changed.
    fn open(&self) -> Result<(), WrongState> {
        let era = lifecycle::claim(self, |seen| seen.state == State::RunDown)?;
        lifecycle::reopen(self, era);
        Ok(())
    }

    /// Whether the object is closed and nothing is held. If so, what was done under protection
    /// happens-before this return. Any context.
    ///
    /// It stays so until an owner's next step; `false` while another caller has the object
    /// [claimed](State::Claimed), since it may be about to open.
    fn is_drained(&self) -> bool {
        matches!(self.look().state, State::Drained | State::RunDown)
    }

    /// A snapshot of the life cycle. Any context.
    fn state(&self) -> State {
        self.look().state
    }

    /// How many protections are held. Racy: CPUs come and go while the slots are summed up, so the
    /// sum may never have been true, and may be negative. Exact when nobody acquires or releases.
    fn racy_held(&self) -> i64 {
        self.held()
    }

    /// The net count of every slot, in the order of the CPU index: what was taken there less what
    /// was released there. Single counts may be negative, the plain kind has just one. Racy, see
    /// [`racy_held`](Rundown::racy_held).
    ///
    /// While the object drains, the counts go on. (An acquire that lost its race against the
    /// close is still in them.) Only those of the per-CPU kind stand still.
    fn racy_counts(&self) -> RacyCounts<'_> {
        self.counts()
    }

    /// The object's address, as [`Platform::wake_waiters`](crate::Platform::wake_waiters) will hear
    /// it.
    #[inline]
    fn id(&self) -> ObjectId {
        ObjectId::of(self)
    }
}
