//! The owner's steps, shared by all variants.

use core::ptr::NonNull;
use core::slice;

use crate::completion::Completion;
use crate::gate::Counts;
use crate::guard::Reach;
use crate::platform::Platform;
use crate::state::{IllegalContext, Misuse, State, WrongState};
use crate::variant::{Rundown, Variant};
use crate::word::{Epoch, Generation, Phase, Snapshot};

/// Why an object was not closed.
pub(crate) enum NotClosed {
    /// It is not open: this was seen.
    Found(Snapshot),
    /// A barrier is illegal here. Nothing changed.
    IllegalContext,
}

/// The answer of an opening if the system has no counter for the object.
pub(crate) const NO_COUNTER: WrongState = WrongState { found: State::RunDown };

impl<V: Variant + ?Sized> Rundown<V> {
    /// Closes the object if it is open, and of `generation` if that is given. With `then`, also
    /// leaves the completion, whose slot the caller has filled: the object may be gone then.
    pub(crate) fn try_close(
        &self,
        generation: Option<u64>,
        then: bool,
    ) -> Result<Epoch, NotClosed> {
        let open = self.begin_close(generation, then)?;
        V::barrier();
        // SAFETY: closed above, and this was the barrier.
        unsafe { self.finish_close(then) };
        if then && self.gate.counts.shared().is_none() && open.word.count() == 0 {
            let left = open.word.with_phase(Phase::ClosedThen);
            self.gate.finish_drain::<V::Platform>(self.id(), left);
        }
        Ok(open.word.epoch())
    }

    /// Closes those of the objects that are open, moves them to the front of the list, and returns
    /// their number. Like [`close`](Rundown::close) for each, but with one
    /// [barrier](crate::PerCpuPlatform::barrier) for all, if the variant needs one: an object may
    /// stay [closing](State::Closing) until all are done. The same object may be in the list twice.
    /// [`Protected`](crate::Protected) objects may be in it, too.
    ///
    /// # Errors
    /// [`IllegalContext`] if a barrier is illegal here; nothing changed.
    ///
    /// # Panics
    /// Only as [`Platform::misuse`](crate::Platform::misuse) does: if more was released than taken
    /// of one object, the others are closed nevertheless (a second panic among those ends the
    /// program). If the platform's barrier panics, the objects stay [closing](State::Closing).
    ///
    /// ```
    /// use rundown::{HostPlatform, PlainRundown, Spin};
    ///
    /// let objects = [const { PlainRundown::<HostPlatform>::new() }; 100];
    /// let closed = PlainRundown::close_all(&mut objects.each_ref());
    /// assert_eq!(closed.expect("legal in any context"), 100);
    /// for object in &objects {
    ///     let _ = object.wait(&Spin);
    /// }
    /// ```
    pub fn close_all(objects: &mut [impl Reach<Variant = V>]) -> Result<usize, IllegalContext> {
        // Those that this call has closed stand in front.
        let mut closed = 0;
        for index in 0..objects.len() {
            match objects[index].rundown().begin_close(None, false) {
                Ok(_) => {
                    <[_]>::swap(objects, closed, index);
                    closed += 1;
                }
                Err(NotClosed::Found(_)) => {}
                // The first that is open finds that out, and the context does not change.
                Err(NotClosed::IllegalContext) => return Err(IllegalContext),
            }
        }
        if closed > 0 {
            V::barrier();
        }
        Unfinished(objects[..closed].iter()).finish();
        Ok(closed)
    }

    /// The first half of a close: if it succeeds, the barrier and `finish_close` are to follow.
    pub(crate) fn begin_close(
        &self,
        generation: Option<u64>,
        then: bool,
    ) -> Result<Snapshot, NotClosed> {
        loop {
            let seen = self.gate.snapshot();
            let other = generation.is_some_and(|wanted| wanted != seen.word.epoch().generation);
            if seen.state != State::Open || other {
                return Err(NotClosed::Found(seen));
            }
            V::check_barrier().map_err(|IllegalContext| NotClosed::IllegalContext)?;
            // Fails if another owner's step came first or, on plain, an acquire or release.
            if self.gate.try_close(seen, then) {
                return Ok(seen);
            }
        }
    }

    /// The second half of a close: drains the slots into the shared count. May wake waiters. With
    /// `then`, also publishes the completion: the object may be gone then.
    ///
    /// # Safety
    /// The caller has closed the object (`begin_close`), and there has been a barrier since.
    pub(crate) unsafe fn finish_close(&self, then: bool) {
        if let Some(shared) = self.gate.counts.shared() {
            // SAFETY: as promised by the caller.
            let sum = unsafe { V::drain_slots(self) };
            shared.add_slots::<V::Platform>(self.id(), sum, then);
        }
    }

    /// `try_close` with a completion, or leaves it with a draining object. `Ok`: the last touch.
    pub(crate) fn try_close_then(&self) -> Result<(), NotClosed> {
        loop {
            match self.try_close(None, true) {
                Err(NotClosed::Found(seen)) if seen.state == State::Draining => {
                    if self.gate.try_leave_completion(seen) {
                        return Ok(());
                    }
                }
                closed => return closed.map(drop),
            }
        }
    }

    /// Opens a draining object again, with what is still held (S10). Never waits; any context.
    /// Returns the [completion](Self::close_then) that was left, if there was one: it will not run.
    ///
    /// Every waiter of this generation whose wait began before this returns
    /// [`WaitOutcome::Cancelled`](crate::WaitOutcome::Cancelled), unless it finds that the object
    /// has drained since. Against a concurrent close, the later of the two wins.
    ///
    /// # Errors
    /// [`WrongState`] if it is not draining, or if more than 2^60 are held of an object that counts
    /// per CPU: too many to be carried over. Nothing changed.
    ///
    /// The object must outlive this call, which may take the completion out after waiters return.
    pub fn cancel(&self) -> Result<Option<NonNull<Completion>>, WrongState> {
        loop {
            let seen = self.gate.snapshot();
            if seen.state != State::Draining || !self.gate.may_reopen_held() {
                return Err(WrongState { found: seen.state });
            }
            let Some(has_completion) = self.gate.try_reopen_held(seen) else {
                continue;
            };
            // The slot is this caller's: another completion finds it full until this one is out.
            let completion = has_completion.then(|| self.gate.counts.completion().take()).flatten();
            if self.gate.counts.shared().is_some() {
                // SAFETY: `try_reopen_held` has left the closed object to this caller.
                unsafe { V::reset_slots(self) };
                self.gate.finish_reopen_held();
            }
            V::Platform::wake_waiters(self.id());
            return Ok(completion);
        }
    }

    /// Marks a drained object run down; twice is no error. Fails with [`WrongState`] if it is open,
    /// draining or claimed. The value of a [`Protected`](crate::Protected) stays in. Any context.
    pub fn complete(&self) -> Result<(), WrongState> {
        loop {
            let seen = self.gate.snapshot();
            match seen.state {
                State::RunDown => return Ok(()),
                State::Drained if self.gate.try_complete(seen) => return Ok(()),
                State::Drained => {} // another owner's step came first
                found => return Err(WrongState { found }),
            }
        }
    }

    /// Opens a drained object again, whether it was marked run down or not. Any context (the first
    /// time, that of [`prepare`](crate::PerCpuRundown::prepare)). Returns the new generation.
    ///
    /// All that the caller did before happens-before every protection granted from then on.
    ///
    /// # Errors
    /// [`WrongState`] if it is open, draining or claimed by another caller; or, with
    /// [`State::RunDown`] found, as for [`open`](Self::open). Nothing changed.
    pub fn reinit(&self) -> Result<Generation, WrongState> {
        let drained =
            |seen: Snapshot| seen.state == State::Drained || seen.word.phase() == Phase::RunDown;
        let epoch = self.claim_to_open(drained, NO_COUNTER)?;
        Ok(Generation(self.reopen(epoch)))
    }

    /// Like [`reinit`](Rundown::reinit), but only if it is run down, such as one born closed (S9).
    ///
    /// # Errors
    /// [`WrongState`] unless the object is run down; nothing changed. With [`State::RunDown`]
    /// found, it is a [`Protected`](crate::Protected) without its value, or the system has no
    /// counter for it ([`prepare`](crate::PerCpuRundown::prepare) says why).
    pub fn open(&self) -> Result<Generation, WrongState> {
        let epoch = self.claim_to_open(|seen| seen.word.phase() == Phase::RunDown, NO_COUNTER)?;
        Ok(Generation(self.reopen(epoch)))
    }

    /// Claims the object, if its snapshot is `legal`: the caller has it to itself until
    /// [`reopen`](Self::reopen) or [`vacate`](Self::vacate), and sees everything done under
    /// protection and by earlier claimers.
    pub(crate) fn claim(&self, legal: impl Fn(Snapshot) -> bool) -> Result<Epoch, WrongState> {
        loop {
            let seen = self.gate.snapshot();
            if !legal(seen) {
                return Err(WrongState { found: seen.state });
            }
            if self.gate.try_claim(seen) {
                return Ok(seen.word.epoch());
            }
        }
    }

    /// The same for a caller that will open the object; `no_counter` if the system has none.
    pub(crate) fn claim_to_open<E: From<WrongState>>(
        &self,
        legal: impl Fn(Snapshot) -> bool,
        no_counter: E,
    ) -> Result<Epoch, E> {
        let seen = self.gate.snapshot();
        // An illegal call changes nothing, so it does not take a counter either.
        if !legal(seen) {
            return Err(WrongState { found: seen.state }.into());
        }
        V::prepare(self).map_err(|_| no_counter)?;
        Ok(self.claim(legal)?)
    }

    /// Ends a claim: the object opens, in the next generation, which this returns.
    pub(crate) fn reopen(&self, claimed: Epoch) -> u64 {
        let mut surplus = 0;
        if let Some(shared) = self.gate.counts.shared() {
            // Before the first slot opens, for releases from slots still closed.
            // SAFETY: claimed.
            surplus = shared.reset() + unsafe { V::reset_slots(self) };
        }
        let generation = self.gate.finish_reopen(claimed);
        // A waiter of the last generation may have looked while the slots were opened, and one that
        // came during the claim waits for its end.
        V::Platform::wake_waiters(self.id());
        if surplus > 0 {
            V::Platform::misuse(&Misuse::over_release(self.id(), 0, surplus));
        }
        generation
    }

    /// Ends a claim: the object is run down, and its value is out.
    pub(crate) fn vacate(&self, claimed: Epoch) {
        self.gate.finish_vacant(claimed);
        // One that came during the claim waits for its end.
        V::Platform::wake_waiters(self.id());
    }
}

/// Objects closed by [`Rundown::close_all`], to be finished after the barrier even if one panics.
struct Unfinished<'a, R: Reach>(slice::Iter<'a, R>);

impl<R: Reach> Unfinished<'_, R> {
    fn finish(&mut self) {
        for object in self.0.by_ref() {
            // SAFETY: closed by `close_all`, and there has been a barrier.
            unsafe { object.rundown().finish_close(false) };
        }
    }
}

impl<R: Reach> Drop for Unfinished<'_, R> {
    fn drop(&mut self) {
        self.finish();
    }
}
