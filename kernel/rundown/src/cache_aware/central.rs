//! The count of what is still held after the sweep.

use crate::primitive::{AtomicI64, Ordering, const_unless_model};

/// `BIAS` while the object is open, zero if and only if it is drained; in between, how many
/// references are still out. On cache lines of its own: late releases must not disturb the readers
/// of the switch.
#[repr(align(128))]
pub(super) struct Central(AtomicI64);

/// What [`Central`] counted after an operation.
#[must_use]
pub(super) struct Held(i64);

impl Held {
    /// Whether that operation brought it to zero. Exactly one operation of a cycle does.
    pub(super) const fn is_drained(&self) -> bool {
        self.0 == 0
    }
}

impl Central {
    /// More than references can ever be out, so that early releases cannot reach zero before the
    /// sweep is complete; and so little that neither `BIAS` plus nor minus any such number
    /// overflows.
    const BIAS: i64 = 1 << 62;

    const_unless_model! {
        pub(super) fn new() -> Self {
            Self(AtomicI64::new(Self::BIAS))
        }
    }

    /// A release on a closed slot. This is its last touch of the object (S3).
    pub(super) fn take_one(&self) -> Held {
        // Release: pairs with the Acquire in `is_drained`; what was done under protection
        // happens-before the return of `wait` (S2).
        Held(self.0.fetch_sub(1, Ordering::Release).wrapping_sub(1))
    }

    /// The sweep is complete, and found `held` references.
    pub(super) fn swept(&self, held: i64) -> Held {
        let change = held - Self::BIAS;
        // Release: pairs with the Acquire in `is_drained`; what the sweep saw of the slots'
        // releases happens-before the return of `wait`, whoever waits (S2).
        Held(
            self.0
                .fetch_add(change, Ordering::Release)
                .wrapping_add(change),
        )
    }

    pub(super) fn is_drained(&self) -> bool {
        // Acquire: pairs with the Release in `take_one` and `swept` (S2; between two lives all
        // writes are by read-modify-write, so whoever reads zero sees them all).
        self.0.load(Ordering::Acquire) == 0
    }

    /// Readies the count for the next life. Only the claimer of a drained object does this.
    pub(super) fn bias(&self) {
        // Relaxed: pairs with nothing itself; `Slot::open` and `Switch::settle` publish it, and
        // nobody takes from the count, or trusts it, without having seen one of those.
        self.0.store(Self::BIAS, Ordering::Relaxed);
    }
}
