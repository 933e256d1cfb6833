//! The count of what is still held after the sweep, for the kinds that count per CPU.

use crate::platform::{ObjectId, Platform};
use crate::primitive::{AtomicI64, Ordering, const_unless_model};
use crate::state::{Misuse, State};

/// `BIAS` or near it until the sweep is complete, not above zero if and only if the object is
/// drained; in between, how many references are still out.
pub(crate) struct Central(AtomicI64);

impl Central {
    /// More than can be released while one sweep is under way, so that early releases cannot reach
    /// zero before it is complete; and so little that neither `BIAS` plus nor minus what can be held
    /// overflows.
    const BIAS: i64 = 1 << 62;

    /// The most that a sweep may find, either way. What a cancel has carried over is at most half of
    /// that ([`is_biased`](Self::is_biased)), so the sum of both stays below 2^63.
    const MOST: u64 = Self::BIAS.unsigned_abs();

    const_unless_model! {
        pub(crate) fn new() -> Self {
            Self(AtomicI64::new(Self::BIAS))
        }
    }

    /// A release of `n` that came too late for the counters. This is its last touch of `object` (S3).
    pub(crate) fn release<P: Platform>(&self, object: ObjectId, n: u32) {
        settle::<P>(object, self.take(n), n);
    }

    /// The counters of `object` are closed, and add up to `held`.
    pub(crate) fn sweep<P: Platform>(&self, object: ObjectId, held: i128) {
        match i64::try_from(held) {
            Ok(held) if held.unsigned_abs() <= Self::MOST => {
                settle::<P>(object, self.swept(held), 0);
            }
            // The object stays closing for ever: nothing else is known to be safe.
            _ => P::misuse(&Misuse::OutOfRange { object }),
        }
    }

    /// Where a closed object stands.
    pub(crate) fn state(&self) -> State {
        match self.count() {
            ..=0 => State::Drained,
            count if Self::is_biased(count) => State::Closing,
            _ => State::Draining,
        }
    }

    fn take(&self, n: u32) -> Step {
        // Release: pairs with the Acquire in `count`; what was done under protection happens-before
        // the return of `wait` (S2).
        let before = self.0.fetch_sub(i64::from(n), Ordering::Release);
        Step {
            before,
            after: before.wrapping_sub(i64::from(n)),
        }
    }

    /// The sweep is complete, and found `held` references.
    fn swept(&self, held: i64) -> Step {
        let change = held.wrapping_sub(Self::BIAS);
        // Release: pairs with the Acquire in `count`; what the sweep saw of the slots' releases
        // happens-before the return of `wait`, whoever waits (S2). And with the Acquire in
        // `bias_while_held`: who cancels sees the switch closed, in this era.
        let before = self.0.fetch_add(change, Ordering::Release);
        Step {
            before,
            after: before.wrapping_add(change),
        }
    }

    /// A cancel: makes sure that the object cannot drain while its slots open, if it has not done so
    /// yet and the sweep is complete. From then on the caller has the closed object to itself.
    pub(crate) fn bias_while_held(&self) -> bool {
        // Acquire: pairs with the Release in `swept`. A failure is followed by another look at the
        // state.
        self.0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| {
                (count > 0 && !Self::is_biased(count)).then(|| count + Self::BIAS)
            })
            .is_ok()
    }

    /// How many were released before anything was ever granted: on an object that was born closed.
    /// The caller has claimed it.
    pub(crate) fn stray(&self) -> u64 {
        match self.count() {
            count if Self::is_biased(count) => Self::BIAS.saturating_sub(count).unsigned_abs(),
            _ => 0,
        }
    }

    /// Readies the count for the next life. Only the claimer of a drained object does this.
    pub(crate) fn bias(&self) {
        // Relaxed: pairs with nothing itself; `Slot::open` (where there are slots) and `Switch::settle` publish it, and
        // nobody takes from the count, or trusts it, without having seen one of those.
        self.0.store(Self::BIAS, Ordering::Relaxed);
    }

    fn count(&self) -> i64 {
        // Acquire: pairs with the Release in `take` and `swept` (S2; between two lives all writes
        // are by read-modify-write, so whoever reads zero sees them all).
        self.0.load(Ordering::Acquire)
    }

    /// Whether the sweep is still to come or under way, given the count. Both sides of the line are
    /// out of reach for any number of references.
    const fn is_biased(count: i64) -> bool {
        count > Self::BIAS / 2
    }

    /// How many are held, given what the open slots count. Racy.
    pub(crate) fn racy_held(&self, in_slots: i64) -> i64 {
        // Relaxed: pairs with nothing, the answer is for people.
        let count = self.0.load(Ordering::Relaxed);
        if Self::is_biased(count) {
            (count - Self::BIAS).wrapping_add(in_slots)
        } else {
            count.max(0)
        }
    }
}

/// After an operation on the central count: the object may be gone.
fn settle<P: Platform>(object: ObjectId, step: Step, released: u32) {
    if step.drained() {
        P::wake_waiters(object);
    }
    if let Some(misuse) = step.over_release(object, released) {
        P::misuse(&misuse);
    }
}

/// What [`Central`] counted before and after an operation.
#[must_use]
#[derive(Clone, Copy)]
struct Step {
    before: i64,
    after: i64,
}

impl Step {
    /// Whether that operation drained the object. Exactly one operation of a life does.
    const fn drained(self) -> bool {
        self.before > 0 && self.after <= 0
    }

    /// Whether more was released than was held (S7). `released`: by this operation, 0 if it was the
    /// sweep.
    fn over_release(self, object: ObjectId, released: u32) -> Option<Misuse> {
        (self.after < 0).then(|| Misuse::OverRelease {
            object,
            held: if released == 0 { 0 } else { self.before.max(0) },
            released: match released {
                0 => self.after.unsigned_abs(),
                n => u64::from(n),
            },
        })
    }
}
