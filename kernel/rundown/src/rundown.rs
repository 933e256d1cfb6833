//! The calls of users and owners: the inherent methods of [`Rundown`], for all variants.

use core::fmt;
use core::ptr::NonNull;

use crate::completion::Completion;
use crate::drain::{Drain, Outstanding};
use crate::gate::Counts;
use crate::guard::{Many, One, RefGuard, RefGuards};
use crate::lifecycle::NotClosed;
use crate::platform::{Clock, Platform, Wait};
use crate::state::{
    CloseOutcome, CloseThenError, Misuse, ObjectId, Refused, State, Tag, WaitOutcome, WrongState,
};
use crate::variant::{Rundown, Variant};
use crate::word::Generation;

impl<V: Variant + ?Sized> Rundown<V> {
    /// Takes protection, or `None` if the object is closed (or [full](Refused::Full)).
    ///
    /// Legal in any context, NMI included; never allocates, blocks or disables interrupts (S5).
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire(&self) -> Option<RefGuard<'_, V>> {
        V::acquire(self, 1).ok()?;
        Some(RefGuard::new(self, One))
    }

    /// [`try_acquire`](Self::try_acquire) of `n` protections at once, all or none (S7). `n` = 0
    /// only asks whether the object is open (cache-aware: and this CPU's slot not full).
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn try_acquire_many(&self, n: u32) -> Option<RefGuards<'_, V>> {
        V::acquire(self, n).ok()?;
        Some(RefGuard::new(self, Many(n)))
    }

    /// Like [`try_acquire`](Self::try_acquire), but without a guard: pair it with one
    /// [`release`](Rundown::release). Forgetting that is safe, but the object will never drain.
    ///
    /// # Errors
    /// [`Refused`] says why; nothing is held then.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn acquire(&self) -> Result<(), Refused> {
        self.acquire_many(1)
    }

    /// [`acquire`](Self::acquire) of `n` at once, all or none (S7). They may be
    /// [released](Rundown::release_many) in other portions.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn acquire_many(&self, n: u32) -> Result<(), Refused> {
        self.acquire_tagged(n, Tag::NONE)
    }

    /// [`acquire_many`](Self::acquire_many) under a tag that says what for. Pair it with
    /// [`release_tagged`](Self::release_tagged).
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn acquire_tagged(&self, n: u32, tag: Tag) -> Result<(), Refused> {
        V::acquire(self, n)?;
        crate::holders::took_raw::<V::Platform>(self.id(), n, tag);
        Ok(())
    }

    /// [`acquire`](Self::acquire) for a caller that holds one already: granted in any state of the
    /// object (S12), also while it drains, which then waits for this one as well.
    ///
    /// # Errors
    /// [`Refused::Full`] if the object cannot count that many.
    ///
    /// # Safety
    /// The caller holds protection of this object, by a guard or without.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub unsafe fn acquire_held(&self) -> Result<(), Refused> {
        // SAFETY: the same contract.
        unsafe { self.acquire_held_many(1) }
    }

    /// [`acquire_held`](Self::acquire_held) of `n` more at once, all or none.
    ///
    /// # Safety
    /// As there.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub unsafe fn acquire_held_many(&self, n: u32) -> Result<(), Refused> {
        // SAFETY: the same contract.
        unsafe { self.acquire_held_tagged(n, Tag::NONE) }
    }

    /// [`acquire_held_many`](Self::acquire_held_many) under a tag that says what for.
    ///
    /// # Safety
    /// As there.
    #[inline]
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub unsafe fn acquire_held_tagged(&self, n: u32, tag: Tag) -> Result<(), Refused> {
        // SAFETY: the same contract.
        unsafe { self.take_more(n)? };
        crate::holders::took_raw::<V::Platform>(self.id(), n, tag);
        Ok(())
    }

    /// [`acquire_held_many`](Self::acquire_held_many), not in the table of holders.
    ///
    /// # Safety
    /// As for [`acquire_held`](Self::acquire_held).
    #[inline]
    pub(crate) unsafe fn take_more(&self, n: u32) -> Result<(), Refused> {
        match V::acquire(self, n) {
            // The caller's own protection keeps the object from draining.
            Err(Refused::Closed) => self.gate.acquire_held(n),
            granted_or_full => granted_or_full,
        }
    }

    /// Gives protection back, on any CPU and in any context (S4). The moment this lets the last
    /// waiter go, the object may be gone: neither this call nor the caller touches it again (S3).
    ///
    /// # Safety
    /// The caller owns one protection of this object without a guard, and gives it up.
    #[inline]
    pub unsafe fn release(&self) {
        // SAFETY: the same contract.
        unsafe { self.release_many(1) }
    }

    /// [`release`](Rundown::release) of `n` at once.
    ///
    /// # Safety
    /// The caller owns `n` protections of this object without guards, and gives them up. If it does
    /// not, [`Platform::misuse`] is called, at the latest when the object drains.
    #[inline]
    pub unsafe fn release_many(&self, n: u32) {
        // SAFETY: the same contract.
        unsafe { self.release_tagged(n, Tag::NONE) }
    }

    /// [`release_many`](Self::release_many) of what was taken under this tag. With feature
    /// `diagnosis`, [`Misuse::WrongTag`] is reported after the release if less is held under it.
    ///
    /// # Safety
    /// As for [`release_many`](Self::release_many); a wrong tag breaks no memory.
    #[inline]
    pub unsafe fn release_tagged(&self, n: u32, tag: Tag) {
        let object = self.id();
        let wrong = crate::holders::release_raw::<V::Platform>(object, n, tag);
        // SAFETY: the same contract.
        unsafe { V::release(self, n) }
        if wrong > 0 {
            V::Platform::misuse(&Misuse::WrongTag { object, tag, released: wrong });
        }
    }

    /// Closes the object: every acquire that starts after this returns is refused (S1), until the
    /// object opens again. (If the context is [illegal](CloseOutcome::IllegalContext) for that,
    /// nothing changes.)
    ///
    /// Never waits; legal in any context. Only [`PerCpuRundown`](crate::PerCpuRundown) waits, for a
    /// [barrier](crate::PerCpuPlatform::barrier), and only there it may be
    /// [illegal](CloseOutcome::IllegalContext): in an NMI handler, as a rule. The same holds for
    /// all calls here that close the object first.
    pub fn close(&self) -> CloseOutcome {
        match self.try_close(None, false) {
            Ok(_) => CloseOutcome::Closed,
            Err(NotClosed::IllegalContext) => CloseOutcome::IllegalContext,
            Err(NotClosed::Found(seen)) if seen.state == State::Claimed => CloseOutcome::Superseded,
            Err(NotClosed::Found(_)) => CloseOutcome::AlreadyClosed,
        }
    }

    /// Closes the object, or finds it draining, and leaves `completion` with it: the last release
    /// runs it, exactly once, after its last touch of the object (S13). If nothing is held, this
    /// call runs it. Never waits for that; legal where [`close`](Self::close) is.
    ///
    /// A [`cancel`](Self::cancel) gives it back, unrun. Waiters are woken just before it runs.
    ///
    /// # Errors
    /// [`CloseThenError`]: nothing changed, and the completion will not run.
    pub fn close_then(&self, completion: &'static Completion) -> Result<(), CloseThenError> {
        // SAFETY: it is valid for ever.
        unsafe { self.close_then_unchecked(completion) }
    }

    /// The same for a completion in memory that is not static: in the object's own, for example.
    ///
    /// # Safety
    /// `completion` points to a completion that stays valid until it has run, or a
    /// [`cancel`](Self::cancel) has given it back, or this call has failed. If it frees the object,
    /// no waiter and no other call uses that when it runs.
    pub unsafe fn close_then_unchecked(
        &self,
        completion: *const Completion,
    ) -> Result<(), CloseThenError> {
        let slot = self.gate.counts.completion();
        let filled = NonNull::new(completion.cast_mut()).is_some_and(|it| slot.fill(it));
        if !filled {
            return Err(CloseThenError::Occupied);
        }
        self.try_close_then().map_err(|failure| {
            // Nothing else knows of it.
            let _ = slot.take();
            match failure {
                NotClosed::Found(seen) => {
                    CloseThenError::WrongState(WrongState { found: seen.state })
                }
                NotClosed::IllegalContext => CloseThenError::IllegalContext,
            }
        })
    }

    /// Closes the object if it is open, and returns when everything it granted is released (S2), or
    /// when the drain is [cancelled](Rundown::cancel).
    ///
    /// All work under protection happens-before the return. Any number of callers may wait, at
    /// the same time or later; all return (S6). If another caller is [re-opening](State::Claimed)
    /// the object when this starts, this closes the new generation.
    ///
    /// Thread context only, and not while the caller holds protection itself.
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait(&self, policy: &dyn Wait) -> WaitOutcome {
        self.drain().wait(policy)
    }

    /// Like [`wait`](Rundown::wait), but gives up when the platform's clock has reached `deadline`.
    /// A deadline in the past makes one attempt.
    ///
    /// # Errors
    /// [`Outstanding`] says how many are still held. The object stays closed and drains on: wait
    /// again, or [`cancel`](Rundown::cancel). (If another caller had it [claimed](State::Claimed)
    /// all the time, it is not closed yet.)
    #[cfg_attr(feature = "diagnosis", track_caller)]
    pub fn wait_deadline(
        &self,
        policy: &dyn Wait,
        deadline: u64,
    ) -> Result<WaitOutcome, Outstanding>
    where
        V::Platform: Clock,
    {
        self.drain().wait_deadline(policy, deadline)
    }

    /// Closes the object if it is open, and returns whether it has drained. Never waits for that;
    /// legal where [`close`](Rundown::close) is.
    ///
    /// # Errors
    /// [`Outstanding`] says how many are still held, and the state: closed, unless another caller
    /// had the object [claimed](State::Claimed), or cancelled the drain at this very moment, or it
    /// may not be [closed](Self::close) here.
    pub fn try_wait(&self) -> Result<(), Outstanding> {
        let mut drain = self.drain();
        match drain.poll() {
            Some(WaitOutcome::Drained) => Ok(()),
            _ => Err(drain.outstanding()),
        }
    }

    /// Closes the object if it is open, and returns the wait as a [`Drain`], to be polled, awaited,
    /// or waited for with a policy. Legal where [`close`](Rundown::close) is.
    pub fn drain(&self) -> Drain<'_, V> {
        Drain::start(self, None)
    }

    /// Like [`drain`](Self::drain), but for one generation only: if the object has been opened
    /// again since, it is left alone, and what was waited for has [drained](WaitOutcome::Drained).
    /// For an owner that may come late: [`generation`](Self::generation) says afterwards whether it
    /// did. Two owners of one generation may both get that.
    pub fn drain_of(&self, generation: Generation) -> Drain<'_, V> {
        Drain::start(self, Some(generation.0))
    }

    /// Whether the object is closed and nothing is held. If so, all work under protection
    /// happens-before this return, and it stays so until an owner's next step. `false` while
    /// another caller has it [claimed](State::Claimed), perhaps to open it. Any context.
    pub fn is_drained(&self) -> bool {
        matches!(self.gate.snapshot().state, State::Drained | State::RunDown)
    }

    /// The object's generation, which does not change while protection is held. Any context.
    pub fn generation(&self) -> Generation {
        Generation(self.gate.snapshot().word.epoch().generation)
    }

    /// The object's address, as [`Platform::wake_waiters`] gets it.
    pub fn id(&self) -> ObjectId {
        ObjectId::of(self)
    }

    /// A snapshot of the life cycle. Any context.
    pub fn state(&self) -> State {
        self.gate.snapshot().state
    }

    /// How many protections are held. Racy: CPUs come and go while the slots are summed up, so the
    /// sum may never have been true, and may be negative. Exact when nothing acquires or releases.
    pub fn racy_held(&self) -> i64 {
        let in_slots = self.racy_counts().fold(0, i64::wrapping_add);
        match self.gate.counts.shared() {
            None => in_slots,
            Some(_) if matches!(self.state(), State::RunDown | State::Claimed) => 0,
            Some(shared) => shared.racy_held(in_slots),
        }
    }

    /// The net count of every slot, in the order of the CPU index: the number taken there less the
    /// number released. Single counts may be negative; the plain variant has just one. Racy, see
    /// [`racy_held`](Rundown::racy_held).
    ///
    /// Closing an object does not clear the counts. In the cache-aware variant late releases still
    /// subtract there, and an acquire that lost the race against the close is in them as well; in
    /// the per-CPU variant they stand still.
    pub fn racy_counts(&self) -> impl ExactSizeIterator<Item = i64> + Clone + '_ {
        V::racy_counts(self)
    }
}

impl<V: Variant + ?Sized> fmt::Debug for Rundown<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rundown")
            .field("variant", &format_args!("{}", V::NAME))
            .field("state", &self.state())
            .field("held", &self.racy_held())
            .field("counts", &BySlot(self))
            .finish()
    }
}

/// The counts that are not zero, by slot: `{1: 2, 7: -1}`.
pub(crate) struct BySlot<'a, V: Variant + ?Sized>(pub(crate) &'a Rundown<V>);

impl<V: Variant + ?Sized> fmt::Debug for BySlot<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.racy_counts().enumerate();
        f.debug_map().entries(counts.filter(|&(_, count)| count != 0)).finish()
    }
}
