//! The count of what is still held after the sweep.

use crate::platform::ObjectId;
use crate::primitive::{AtomicI64, Ordering, const_unless_model};
use crate::state::Misuse;

/// `BIAS` or near it until the sweep is complete, not above zero if and only if the object is
/// drained; in between, how many references are still out. On cache lines of its own: late releases
/// must not disturb the readers of the switch.
#[repr(align(128))]
pub(super) struct Central(AtomicI64);

/// What [`Central`] counted before and after an operation.
#[must_use]
#[derive(Clone, Copy)]
pub(super) struct Step {
    before: i64,
    after: i64,
}

impl Step {
    /// Whether that operation drained the object. Exactly one operation of a life does.
    pub(super) const fn drained(self) -> bool {
        self.before > 0 && self.after <= 0
    }

    /// Whether more was released than was held (S7). `released`: by this operation, 0 if it was the
    /// sweep.
    pub(super) fn over_release(self, object: ObjectId, released: u32) -> Option<Misuse> {
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

impl Central {
    /// More than can be released while one sweep is under way, so that early releases cannot reach
    /// zero before it is complete; and so little that neither `BIAS` plus nor minus what can be held
    /// overflows.
    const BIAS: i64 = 1 << 62;

    /// The most that a sweep may find, either way. What a cancel has carried over is at most half of
    /// that ([`is_biased`](Self::is_biased)), so the sum of both stays below 2^63.
    pub(super) const MOST: u64 = Self::BIAS.unsigned_abs();

    const_unless_model! {
        pub(super) fn new() -> Self {
            Self(AtomicI64::new(Self::BIAS))
        }
    }

    /// A release on a closed slot. This is its last touch of the object (S3).
    pub(super) fn take(&self, n: u32) -> Step {
        // Release: pairs with the Acquire in `count`; what was done under protection happens-before
        // the return of `wait` (S2).
        let before = self.0.fetch_sub(i64::from(n), Ordering::Release);
        Step {
            before,
            after: before.wrapping_sub(i64::from(n)),
        }
    }

    /// The sweep is complete, and found `held` references.
    pub(super) fn swept(&self, held: i64) -> Step {
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
    pub(super) fn bias_while_held(&self) -> bool {
        // Acquire: pairs with the Release in `swept`. A failure is followed by another look at the
        // state.
        self.0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| {
                (count > 0 && !Self::is_biased(count)).then(|| count + Self::BIAS)
            })
            .is_ok()
    }

    /// Readies the count for the next life. Only the claimer of a drained object does this.
    pub(super) fn bias(&self) {
        // Relaxed: pairs with nothing itself; `Slot::open` and `Switch::settle` publish it, and
        // nobody takes from the count, or trusts it, without having seen one of those.
        self.0.store(Self::BIAS, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> i64 {
        // Acquire: pairs with the Release in `take` and `swept` (S2; between two lives all writes
        // are by read-modify-write, so whoever reads zero sees them all).
        self.0.load(Ordering::Acquire)
    }

    /// Whether the sweep is still to come or under way, given the count. Both sides of the line are
    /// out of reach for any number of references.
    pub(super) const fn is_biased(count: i64) -> bool {
        count > Self::BIAS / 2
    }

    /// How many are held, given what the open slots count. Racy.
    pub(super) fn racy_held(&self, in_slots: i64) -> i64 {
        // Relaxed: pairs with nothing, the answer is for people.
        let count = self.0.load(Ordering::Relaxed);
        if Self::is_biased(count) {
            (count - Self::BIAS).wrapping_add(in_slots)
        } else {
            count.max(0)
        }
    }
}
