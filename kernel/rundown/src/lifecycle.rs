//! The life cycle, once for all kinds: what a kind provides ([`Kind`]), and the owner's steps made of
//! it.

use crate::batch::Closer;
use crate::counts::RacyCounts;
use crate::platform::{ObjectId, Platform};
use crate::state::{Refused, State, WrongState};
use crate::word::{Era, Phase, Snapshot};

/// What a kind of rundown provides; [`Rundown`](crate::Rundown) is built on it. Sealed: this module
/// is private.
///
/// The methods of a supertrait can be called by whoever has the trait, though. Those that are owners'
/// steps therefore ask for an [`Inside`], which only this crate can make.
pub trait Kind: Send + Sync {
    /// The system it runs on.
    type Platform: Platform;

    /// [`Rundown::acquire_many`](crate::Rundown::acquire_many).
    fn take_references(&self, n: u32) -> Result<(), Refused>;

    /// [`Rundown::release_many`](crate::Rundown::release_many).
    ///
    /// # Safety
    /// As for `release_many`.
    unsafe fn drop_references(&self, n: u32);

    /// Reads the life cycle. A snapshot that says `Drained` (or anything later in that life) makes
    /// what was done under protection visible to the caller (S2).
    fn look(&self) -> Snapshot;

    /// Goes from the very word in `from` to `to`, in the same era; `false` if the word has changed.
    fn step(&self, from: Snapshot, to: Phase, _: Inside) -> bool;

    /// Returns when every acquire and release that was in progress either has counted, or will see
    /// which objects were closed before this call. Between `step` to closed and `sweep`. Only some
    /// kinds need it.
    fn barrier(_: Inside) {}

    /// A note for who has closed the object, if the kind needs the barrier.
    fn closer(&self) -> Option<&Closer> {
        None
    }

    /// The caller has just closed the object, and there has been a barrier: takes stock of what is
    /// held. May wake waiters.
    fn sweep(&self, _: Inside);

    /// The caller has found the object draining: opens it again, in the next era, with what is held.
    /// `false` if it is not draining any more.
    fn revive(&self, draining: Snapshot, _: Inside) -> bool;

    /// The caller has claimed the object and is about to open it: readies the counts for the next
    /// life.
    fn unsweep(&self, _: Inside);

    /// Ends a claim of `era`: the caller is the only writer. The object opens, in the next life.
    fn settle_open(&self, era: Era, _: Inside);

    /// Ends a claim of `era`: the caller is the only writer. The object is run down.
    fn settle_run_down(&self, era: Era, _: Inside);

    /// [`Rundown::racy_held`](crate::Rundown::racy_held).
    fn held(&self) -> i64;

    /// [`Rundown::racy_counts`](crate::Rundown::racy_counts).
    fn counts(&self) -> RacyCounts<'_>;
}

/// Shows that the caller is this crate, and keeps to the rules of its step: a sweep too many would
/// let a waiter go while something is held.
#[derive(Clone, Copy)]
pub struct Inside(());

pub(crate) const INSIDE: Inside = Inside(());

/// The object is in the claimed phase.
pub(crate) struct Claimed;

/// The object is closed: in which era, and whether the caller was the one who did it.
pub(crate) struct Closing {
    pub(crate) era: Era,
    pub(crate) first: bool,
}

/// Closes the object if it is open.
pub(crate) fn close<K: Kind + ?Sized>(rundown: &K) -> Result<Closing, Claimed> {
    match shut(rundown) {
        Ok(era) => {
            K::barrier(INSIDE);
            rundown.sweep(INSIDE);
            Ok(Closing { era, first: true })
        }
        Err(Snapshot { state, era, .. }) => match state {
            State::Claimed => Err(Claimed),
            _ => Ok(Closing { era, first: false }),
        },
    }
}

/// The first half of a close. Who gets an era has closed the object, and goes on with the barrier and
/// the sweep.
pub(crate) fn shut<K: Kind + ?Sized>(rundown: &K) -> Result<Era, Snapshot> {
    loop {
        let seen = rundown.look();
        if seen.state != State::Open {
            return Err(seen);
        }
        // If another owner's step came first or, in the plain kind, an acquire or release: look
        // again.
        if rundown.step(seen, Phase::Closed, INSIDE) {
            return Ok(seen.era);
        }
    }
}

/// Opens a draining object again.
pub(crate) fn cancel<K: Kind + ?Sized>(rundown: &K) -> Result<(), WrongState> {
    loop {
        let seen = rundown.look();
        if seen.state != State::Draining {
            return Err(WrongState { found: seen.state });
        }
        if rundown.revive(seen, INSIDE) {
            wake(rundown);
            return Ok(());
        }
    }
}

/// Marks a drained object run down.
pub(crate) fn complete<K: Kind + ?Sized>(rundown: &K) -> Result<(), WrongState> {
    loop {
        let seen = rundown.look();
        match seen.state {
            State::RunDown => return Ok(()),
            State::Drained if rundown.step(seen, Phase::RunDown, INSIDE) => return Ok(()),
            // Another owner's step came first: look again.
            State::Drained => {}
            found => return Err(WrongState { found }),
        }
    }
}

/// Claims the object, if `legal` says so of its snapshot: until [`reopen`] or [`mark_run_down`] the
/// caller has it to itself. After this, everything done under protection and by earlier claimers is
/// visible.
pub(crate) fn claim<K: Kind + ?Sized>(
    rundown: &K,
    legal: impl Fn(Snapshot) -> bool,
) -> Result<Era, WrongState> {
    loop {
        let seen = rundown.look();
        if !legal(seen) {
            return Err(WrongState { found: seen.state });
        }
        if rundown.step(seen, Phase::Claimed, INSIDE) {
            return Ok(seen.era);
        }
    }
}

/// Ends a claim: the object opens, in the next life.
pub(crate) fn reopen<K: Kind + ?Sized>(rundown: &K, claimed: Era) {
    rundown.unsweep(INSIDE);
    rundown.settle_open(claimed, INSIDE);
    // A waiter of the last life may have looked while `unsweep` was at work, and one that came
    // during the claim waits for its end.
    wake(rundown);
}

/// Ends a claim: the object is run down.
pub(crate) fn mark_run_down<K: Kind + ?Sized>(rundown: &K, claimed: Era) {
    rundown.settle_run_down(claimed, INSIDE);
    // One that came during the claim waits for its end.
    wake(rundown);
}

/// Makes the object's waiters look again.
fn wake<K: Kind + ?Sized>(rundown: &K) {
    K::Platform::wake_waiters(ObjectId::of(rundown));
}
