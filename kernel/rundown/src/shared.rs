//! The references held once the slots are closed: [`SharedCount`], and why its sum is right (the
//! long form, with cancels and completions, is in the README).
//!
//! A *slot* counts what one CPU has taken less what it has released, and may be negative. The
//! shared count starts at `BIAS`, which no number of references reaches.
//!
//! 1. An acquire or release is one read-modify-write of one slot, and the value that it returns
//!    says whether the slot was open. On an open slot it counts. On a closed one an acquire is
//!    refused, and what it added means nothing; a release goes on to the shared count.
//! 2. The closer closes each slot once, by a read-modify-write that returns what it counted. So
//!    every operation on the slot comes before that, and is in the `sum`, or after it, and is not.
//! 3. Let `late` be what has been released on the shared count: then `sum - late` is held.
//! 4. A late release may come before the closer adds the sum. `BIAS` keeps the count above zero
//!    until then: at most 2^60 are in the slots, less than `BIAS / 2`.
//! 5. The closer adds `sum - BIAS`. From then on the count is exact, nothing adds to it but holders
//!    (S12), and the one step that takes it from above zero to zero or below ends the drain.
//! 6. Everything done under protection happens-before its release, and that before the closing of
//!    its slot, or it is itself a step of the shared count. All of those are read-modify-writes
//!    with Release: a load with Acquire that sees zero has seen them all.
//!
//! The per-CPU variant has a barrier in the place of 1. and 2.: when it returns, every add that
//! found the state word open is in its counter, and no other will come.

use crate::completion::CompletionSlot;
use crate::platform::Platform;
use crate::primitive::{AtomicI64, Ordering};
use crate::state::{Misuse, ObjectId, Refused, State};

/// The shared count. README, "The words", has its ranges: a [`Range`] each.
pub struct SharedCount {
    count: AtomicI64,
    pub(crate) completion: CompletionSlot,
}

impl SharedCount {
    const BIAS: i64 = 1 << 62;
    /// The most that can be held at all: what a cancel carries over and what the slots count then.
    const MOST: i64 = 1 << 61;
    /// The most that all slots together count, either way, and the most that a cancel carries over.
    pub(crate) const MOST_IN_SLOTS: i64 = 1 << 60;

    const_unless_model! {
        pub(crate) fn new() -> Self {
            Self { count: AtomicI64::new(Self::BIAS), completion: CompletionSlot::new() }
        }
    }

    /// A release of `n` that came too late for the slots. Its last touch of `object` (S3).
    #[cold]
    pub(crate) fn release<P: Platform>(&self, object: ObjectId, n: u32) {
        // A release of none ends nothing, and is not what released too much.
        if n > 0 {
            // Release: pairs with the Acquire in `look`; all work under protection
            // happens-before the return of `wait` (S2).
            let before = self.count.fetch_sub(i64::from(n), Ordering::Release);
            self.settle::<P>(object, before, before.wrapping_sub(n.into()), n);
        }
    }

    /// `n` more for a caller that holds some, after the slots are closed (S12).
    pub(crate) fn acquire_held(&self, n: u32) -> Result<(), Refused> {
        let n = i64::from(n);
        // Relaxed: pairs with nothing; the caller's own protection has acquired what it needs, and
        // keeps the count from reaching zero. A failure changes nothing.
        let added = (self.count).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            let most = match Range::of(count) {
                Range::Undrained => Self::BIAS + Self::MOST_IN_SLOTS,
                Range::Held => Self::MOST,
                Range::Completion => Self::MOST - Self::BIAS,
            };
            (count + n <= most).then_some(count + n)
        });
        added.map(drop).map_err(|_| Refused::Full)
    }

    /// The slots of `object` are closed, and count `sum`. With `then`, the slot of the completion
    /// is filled, and this publishes it. The closer's last touch, unless nothing is held.
    pub(crate) fn add_slots<P: Platform>(&self, object: ObjectId, sum: i128, then: bool) {
        let sum = match i64::try_from(sum) {
            Ok(sum) if sum.abs() <= Self::MOST_IN_SLOTS => sum,
            // The object stays closing for ever: nothing else is known to be safe.
            _ => return P::misuse(&Misuse::OutOfRange { object }),
        };
        let mark = if then { Self::BIAS } else { 0 };
        // Wraps with a completion and a negative sum (what a cancel carried over was released); the
        // count that it leads to does not.
        let change = (sum - Self::BIAS).wrapping_sub(mark);
        // Release: pairs with the Acquire in `look`; each release in a slot that the closer saw
        // happens-before the return of `wait`, whichever caller waits (S2), and the completion's
        // slot is filled for every step that sees the mark. And with the Acquire in `begin_cancel`:
        // the canceller sees the state word closed, in this epoch.
        let before = self.count.fetch_add(change, Ordering::Release);
        self.settle::<P>(object, before, before.wrapping_add(change), 0);
    }

    /// Marks that a completion is left, while something is held. The caller's last touch if so.
    pub(crate) fn leave_completion(&self) -> bool {
        // Release: pairs with the Acquire in `complete` and in `begin_cancel`: a step that sees
        // the mark finds the slot filled. A failure changes nothing.
        self.count
            .fetch_update(Ordering::Release, Ordering::Relaxed, |count| {
                (Range::of(count) == Range::Held && count > 0).then(|| count - Self::BIAS)
            })
            .is_ok()
    }

    /// Whether so little is held that a cancel may carry it over.
    pub(crate) fn may_be_carried_over(&self) -> bool {
        Range::held(self.look()).is_none_or(|held| held <= Self::MOST_IN_SLOTS)
    }

    /// A cancel: makes sure that the object cannot drain while its slots open, if it is draining
    /// and not too much is held to be carried over. From then on the caller has the closed object
    /// to itself. Says whether a completion was left, which is the caller's now.
    pub(crate) fn begin_cancel(&self) -> Option<bool> {
        // Acquire: pairs with the Release in `add_slots` and `leave_completion`. A failure is
        // followed by another look at the state.
        let before = (self.count).fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| {
            let held = Range::held(count)?;
            (1..=Self::MOST_IN_SLOTS).contains(&held).then(|| held + Self::BIAS)
        });
        Some(Range::of(before.ok()?) == Range::Completion)
    }

    /// Readies the count for the next generation. Only the claimer of a drained object does this.
    /// Returns what was released of an object that was born closed.
    pub(crate) fn reset(&self) -> u64 {
        let surplus = match self.look() {
            count if Range::of(count) == Range::Undrained => {
                (Self::BIAS - count).max(0).unsigned_abs()
            }
            _ => 0,
        };
        // Relaxed: pairs with nothing itself; `Slot::open` (where there are slots) and
        // `Gate::finish` publish it, and a step that has not seen one of those does not use it.
        self.count.store(Self::BIAS, Ordering::Relaxed);
        surplus
    }

    /// Where a closed object stands.
    pub(crate) fn state(&self) -> State {
        let count = self.look();
        match Range::held(count) {
            None => State::Closing,
            Some(1..) => State::Draining,
            // The last release is about to take the completion out.
            Some(..=0) if Range::of(count) == Range::Completion => State::Closing,
            Some(..=0) => State::Drained,
        }
    }

    /// How many are held, given what the slots count. Racy.
    pub(crate) fn racy_held(&self, in_slots: i64) -> i64 {
        // Relaxed: pairs with nothing, the answer is for people.
        let count = self.count.load(Ordering::Relaxed);
        match Range::held(count) {
            None => (count - Self::BIAS).wrapping_add(in_slots),
            Some(held) => held.max(0),
        }
    }

    fn look(&self) -> i64 {
        // Acquire: pairs with the Release in `release` and `add_slots` (S2; between two generations
        // all writes are read-modify-writes, so a load that sees zero has seen them all).
        self.count.load(Ordering::Acquire)
    }

    /// After a step from `before` to `after`, by a release of `released` or, if that is 0, by the
    /// closer. The object may be gone, unless this ends a drain with a completion.
    fn settle<P: Platform>(&self, object: ObjectId, before: i64, after: i64, released: u32) {
        let Some(left @ ..=0) = Range::held(after) else {
            return;
        };
        // Undrained counts as held. Exactly one step of a generation comes from there to here.
        let held = Range::held(before).unwrap_or(1).max(0);
        if held > 0 {
            match Range::of(after) {
                Range::Completion => self.complete::<P>(object),
                _ => P::wake_waiters(object),
            }
        }
        if left < 0 {
            let (held, released) = match released {
                0 => (0, left.unsigned_abs()),
                n => (held, n.into()),
            };
            P::misuse(&Misuse::over_release(object, held, released));
        }
    }

    /// Ends a drain that has a completion: the caller's step was the last, so it has the object to
    /// itself, and publishes that it is drained.
    #[cold]
    fn complete<P: Platform>(&self, object: ObjectId) {
        // For the completion: acquires every release, as a wait does (S2), and the slot.
        let _ = self.look();
        self.completion.end_drain::<P>(object, || {
            // Release: pairs with the Acquire in `look`. The last touch of the object (S3).
            self.count.fetch_add(Self::BIAS, Ordering::Release);
        });
    }
}

/// The meaning of a value of the shared count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Range {
    /// The slots are not drained yet, or the object was born closed: `BIAS`, with clones and what
    /// a cancel has carried over, less late releases.
    Undrained,
    Held,
    /// A completion is left: everything is `BIAS` lower. -`BIAS` is not read as drained; the step
    /// that reaches it has the object to itself until it adds `BIAS` again.
    Completion,
}

impl Range {
    const fn of(count: i64) -> Self {
        if count > SharedCount::MOST {
            Self::Undrained
        } else if count > -SharedCount::MOST {
            Self::Held
        } else {
            Self::Completion
        }
    }

    /// How many are held, once the slots are drained.
    const fn held(count: i64) -> Option<i64> {
        match Self::of(count) {
            Self::Undrained => None,
            Self::Held => Some(count),
            Self::Completion => Some(count.wrapping_add(SharedCount::BIAS)),
        }
    }
}
