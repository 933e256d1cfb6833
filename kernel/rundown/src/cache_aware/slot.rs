//! One CPU's counter.

use crate::primitive::{AtomicU64, Ordering, const_unless_model};

/// One CPU's counter, alone on its 128 bytes: x86 prefetches cache lines of 64 bytes in pairs
/// (Intel 64 and IA-32 Architectures Optimization Reference Manual, "Data Prefetching": the spatial
/// prefetcher).
///
/// Every operation of a user is *one* read-modify-write, and the mark in the value it returns says
/// what it was: on an open slot it counts, and the next sweep will find it; on a closed slot it
/// means nothing, and what it added is thrown away when the slot opens again. So nothing is ever
/// undone, and no operation is ever half done (README, "Why nothing is undone").
#[repr(align(128))]
pub struct Slot(AtomicU64);

impl Slot {
    const_unless_model! {
        /// An open slot that counts nothing.
        #[must_use]
        pub fn new() -> Self {
            Self(AtomicU64::new(SlotWord::OPEN.0))
        }
    }

    #[cfg(not(rundown_loom))]
    pub(super) const fn array<const N: usize>() -> [Self; N] {
        [const { Self::new() }; N]
    }

    #[cfg(rundown_loom)]
    pub(super) fn array<const N: usize>() -> [Self; N] {
        core::array::from_fn(|_| Self::new())
    }

    /// An acquire.
    #[inline]
    pub(super) fn add_one(&self) -> SlotWord {
        // Acquire: pairs with the Release in `open` when it counts (what the owner prepared is
        // visible under protection), and with the Release in `close` when it does not (the switch
        // is seen closed from now on, S1).
        SlotWord(self.0.fetch_add(SlotWord::ONE, Ordering::Acquire))
    }

    /// A release. If it counts, this was its last touch of the object (S3).
    #[inline]
    pub(super) fn take_one(&self) -> SlotWord {
        // Release: pairs with the Acquire in `close`; what was done under protection is visible to
        // the sweep (S2).
        SlotWord(self.0.fetch_sub(SlotWord::ONE, Ordering::Release))
    }

    /// The sweep: closes the slot and returns what it counted. May be negative, only the sum over
    /// all slots means something (S4).
    pub(super) fn close(&self) -> i64 {
        // AcqRel. Acquire: pairs with the Release in `take_one` (S2; every write of an open slot is
        // a read-modify-write, so one exchange sees all releases). Release: pairs with the Acquire
        // in `add_one` (S1).
        SlotWord(self.0.swap(SlotWord::CLOSED.0, Ordering::AcqRel)).count()
    }

    /// Opens the slot, at zero. Only the claimer of a drained object does this.
    pub(super) fn open(&self) {
        // Release: pairs with the Acquire in `add_one`. What it overwrites means nothing, so a
        // store would do; but loom does not order a store against concurrent read-modify-writes as
        // strictly as C11 does.
        self.0.swap(SlotWord::OPEN.0, Ordering::Release);
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// `count << 1 | closed`; the count is signed, and wraps without ever disturbing the mark.
#[derive(Clone, Copy)]
#[must_use]
pub(super) struct SlotWord(u64);

impl SlotWord {
    const OPEN: Self = Self(0);
    const CLOSED: Self = Self(1);
    const ONE: u64 = 2;

    /// Whether the operation that returned this word counts: whether the slot was open.
    #[inline]
    pub(super) const fn counts(self) -> bool {
        self.0 & Self::CLOSED.0 == 0
    }

    /// The count, with its sign.
    const fn count(self) -> i64 {
        self.0.cast_signed() >> 1
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn negative_counts_survive_the_encoding() {
        for count in [-3_i64, -1, 0, 1, 3] {
            let word = SlotWord((0..count.abs()).fold(SlotWord::OPEN.0, |word, _| {
                if count < 0 {
                    word.wrapping_sub(SlotWord::ONE)
                } else {
                    word + SlotWord::ONE
                }
            }));
            assert!(word.counts());
            assert_eq!(word.count(), count);
        }
    }

    #[test]
    fn the_mark_survives_any_count() {
        let below = SlotWord(SlotWord::CLOSED.0.wrapping_sub(SlotWord::ONE));
        assert!(!below.counts());
        assert!(!SlotWord(below.0.wrapping_add(SlotWord::ONE)).counts());
    }

    #[test]
    fn a_slot_has_a_stride_of_its_own() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (128, 128));
    }
}
