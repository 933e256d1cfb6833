//! The life cycle, once for all kinds: [`Rundown`] is what users call, [`Kind`] what a kind
//! provides.

use crate::guard::RefGuard;
use crate::platform::Wait;
use crate::state::{CloseOutcome, Cycle, Phase, Refused, Snapshot, State, WrongState};

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
    fn try_acquire(&self) -> Option<RefGuard<'_, Self>>
    where
        Self: Sized,
    {
        self.acquire().ok().map(|()| RefGuard::new(self))
    }

    /// Takes protection without a guard. Pair it with one [`release`](Rundown::release).
    ///
    /// Forgetting the release is safe, but the object will never drain. Same contexts as
    /// `try_acquire`.
    ///
    /// # Errors
    /// [`Refused`] says why; nothing is held then.
    #[inline]
    fn acquire(&self) -> Result<(), Refused> {
        self.take_reference()
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
        unsafe { self.drop_reference() }
    }

    /// Closes the object: every acquire that starts after this returns is refused (S1), until a
    /// re-init.
    ///
    /// Never waits; legal in any context. Takes one step per slot.
    fn close(&self) -> CloseOutcome {
        match close(self) {
            Ok(Closing { first: true, .. }) => CloseOutcome::Closed,
            Ok(Closing { first: false, .. }) => CloseOutcome::AlreadyClosed,
            Err(Claimed) => CloseOutcome::Superseded,
        }
    }

    /// Closes the object if it is open, and returns when everything it granted is released (S2).
    ///
    /// What was done under protection happens-before the return. Any number of callers may wait, at
    /// the same time or later; all return (S6). If another caller is [re-opening](State::Claimed)
    /// the object when this starts, this comes after it: it closes the new life.
    ///
    /// Thread context only, and not while the caller holds protection itself: it would wait for
    /// itself.
    fn wait<W: Wait + ?Sized>(&self, policy: &W) {
        drain(self, policy);
    }

    /// Whether the object is closed and nothing is held. Once `true`, it stays so until a re-init,
    /// and what was done under protection happens-before this return. Any context.
    fn is_drained(&self) -> bool {
        self.nothing_held()
    }

    /// A snapshot of the life cycle. Any context.
    fn state(&self) -> State {
        self.look().state
    }

    /// Marks a drained object run down. Doing it twice is no error. Any context.
    ///
    /// # Errors
    /// [`WrongState`] if it is open, draining or claimed; nothing changed.
    fn complete(&self) -> Result<(), WrongState> {
        loop {
            let seen = self.look();
            match seen.state {
                State::RunDown => return Ok(()),
                State::Drained if self.step(seen, Phase::RunDown) => return Ok(()),
                // Another owner's step came first: look again.
                State::Drained => {}
                found => return Err(WrongState { found }),
            }
        }
    }

    /// Opens a drained object again, whether it was marked run down or not. Any context.
    ///
    /// What the caller did before happens-before every protection granted from then on.
    ///
    /// # Errors
    /// [`WrongState`] if it is open, draining or claimed by another caller; nothing changed.
    fn reinit(&self) -> Result<(), WrongState> {
        let cycle = claim(self, |seen| {
            matches!(seen.state, State::Drained | State::RunDown)
        })?;
        reopen(self, cycle);
        Ok(())
    }
}

/// What a kind of rundown provides; [`Rundown`] is built on it. Sealed: this module is private.
pub trait Kind: Send + Sync {
    /// [`Rundown::acquire`].
    fn take_reference(&self) -> Result<(), Refused>;

    /// [`Rundown::release`].
    ///
    /// # Safety
    /// As for `release`.
    unsafe fn drop_reference(&self);

    /// Reads the life cycle. A snapshot that says `Drained` (or anything later in that cycle) makes
    /// what was done under protection visible to the caller (S2).
    fn look(&self) -> Snapshot;

    /// [`Rundown::is_drained`].
    fn nothing_held(&self) -> bool;

    /// Goes from the very word in `from` to `to`, in the same cycle; `false` if the word has
    /// changed.
    fn step(&self, from: Snapshot, to: Phase) -> bool;

    /// The caller has just closed the object: takes stock of what is held. May wake waiters.
    fn sweep(&self);

    /// The caller has claimed the object and is about to open it: readies the counts for the next
    /// life.
    fn unsweep(&self);

    /// Ends a claim: the caller is the only writer, and stores what comes next.
    fn settle(&self, cycle: Cycle, phase: Phase);

    /// The cycle after `cycle`.
    fn next(cycle: Cycle) -> Cycle;

    /// [`Platform::wake_waiters`](crate::Platform::wake_waiters).
    fn wake_waiters();
}

/// The object is in the claimed phase.
pub(crate) struct Claimed;

/// The object is closed: in which cycle, and whether the caller was the one who did it.
pub(crate) struct Closing {
    pub(crate) cycle: Cycle,
    first: bool,
}

/// Closes the object if it is open.
pub(crate) fn close<K: Kind + ?Sized>(rundown: &K) -> Result<Closing, Claimed> {
    loop {
        let seen = rundown.look();
        match seen.state {
            State::Open if rundown.step(seen, Phase::Closed) => {
                rundown.sweep();
                return Ok(Closing {
                    cycle: seen.cycle,
                    first: true,
                });
            }
            // Lost to another closer or, in the plain kind, to an acquire or release: look again.
            State::Open => {}
            State::Draining | State::Drained | State::RunDown => {
                return Ok(Closing {
                    cycle: seen.cycle,
                    first: false,
                });
            }
            State::Claimed => return Err(Claimed),
        }
    }
}

/// Closes the object and waits until it has drained; says which cycle that ended.
pub(crate) fn drain<K: Kind + ?Sized, W: Wait + ?Sized>(rundown: &K, policy: &W) -> Cycle {
    let cycle = loop {
        match close(rundown) {
            Ok(closing) => break closing.cycle,
            // To return now would be wrong: a re-init in progress may have granted protection
            // already.
            Err(Claimed) => policy.wait_until(&mut || rundown.look().state != State::Claimed),
        }
    };
    policy.wait_until(&mut || {
        let seen = rundown.look();
        // A later cycle, or a claim in this one, can only come after this one has drained.
        seen.cycle != cycle || seen.state != State::Draining
    });
    cycle
}

/// Claims the object, if `legal` says so of its snapshot: until [`reopen`] or [`mark_run_down`] the
/// caller has it to itself. After this, everything done under protection and by earlier claimers is
/// visible.
pub(crate) fn claim<K: Kind + ?Sized>(
    rundown: &K,
    legal: impl Fn(Snapshot) -> bool,
) -> Result<Cycle, WrongState> {
    loop {
        let seen = rundown.look();
        if !legal(seen) {
            return Err(WrongState { found: seen.state });
        }
        if rundown.step(seen, Phase::Claimed) {
            return Ok(seen.cycle);
        }
    }
}

/// Ends a claim: the object opens, in the next cycle.
pub(crate) fn reopen<K: Kind + ?Sized>(rundown: &K, claimed: Cycle) {
    rundown.unsweep();
    rundown.settle(K::next(claimed), Phase::Open);
    // A waiter of the last cycle may have looked while `unsweep` was at work, and one that came
    // during the claim waits for its end.
    K::wake_waiters();
}

/// Ends a claim: the object is run down.
pub(crate) fn mark_run_down<K: Kind + ?Sized>(rundown: &K, claimed: Cycle) {
    rundown.settle(claimed, Phase::RunDown);
    // One that came during the claim waits for its end.
    K::wake_waiters();
}
