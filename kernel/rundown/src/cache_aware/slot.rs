//! One CPU's counter.

use core::fmt;

use crate::primitive::{AtomicU64, Ordering, const_unless_model};

/// One CPU's counter, alone on its 128 bytes: x86 prefetches cache lines of 64 bytes in pairs
/// (Intel 64 and IA-32 Architectures Optimization Reference Manual, "Data Prefetching": the spatial
/// prefetcher).
///
/// Every operation of a user is *one* read-modify-write, and the marks in the value it returns say
/// what it was: on an open slot it counts, and the next sweep will find it; on a closed slot it
/// means nothing, and what it added is thrown away when the slot opens again. So nothing is ever
/// undone, and no operation is ever half done (README, "Why nothing is undone").
#[repr(align(128))]
pub struct Slot(AtomicU64);

impl Slot {
    /// How many more protections than were released on a slot can be taken there: 2^61. After that,
    /// an acquire is [refused](crate::Refused::Full). A CPU that only takes, one at a time, while
    /// others release, needs a thousand years for that; `u32::MAX` at a time, 2^29 calls.
    ///
    /// Releasing 2^61 more than were taken there is found and told as
    /// [`Misuse::OutOfRange`](crate::Misuse::OutOfRange), even if every one of them was held: the
    /// slot is of no use after that.
    pub const CAPACITY: u64 = Word::MAX_COUNT;

    const_unless_model! {
        /// An open slot that counts nothing.
        #[must_use]
        pub fn new() -> Self {
            Self(AtomicU64::new(Word::OPEN.0))
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

    /// An acquire of `n`.
    #[inline]
    pub(super) fn add(&self, n: u32) -> Word {
        // Acquire: pairs with the Release in `open` when it counts (what the owner prepared is
        // visible under protection), and with the Release in `close` when it does not (the switch
        // is seen closed from now on, S1).
        Word::at(self.0.fetch_add(Word::times(n), Ordering::Acquire))
    }

    /// A release of `n`. If it counts, this was its last touch of the object (S3).
    #[inline]
    pub(super) fn take(&self, n: u32) -> Word {
        // Release: pairs with the Acquire in `close`; what was done under protection is visible to
        // the sweep (S2).
        Word::at(self.0.fetch_sub(Word::times(n), Ordering::Release))
    }

    /// The sweep: closes the slot and returns what it counted. May be negative, only the sum over
    /// all slots means something (S4). The count stays, for people to read.
    pub(super) fn close(&self) -> i64 {
        // An addition sets the mark, as only one sweeper at a time meets the slot, open; it is one
        // instruction on x86, an OR that returns the old value is a loop.
        //
        // AcqRel. Acquire: pairs with the Release in `take` (S2; every write of an open slot is a
        // read-modify-write, so this one sees all releases). Release: pairs with the Acquire in
        // `add` (S1).
        Word::at(self.0.fetch_add(Word::CLOSED, Ordering::AcqRel)).count()
    }

    /// Opens the slot, at zero. Only who has claimed or is reviving the object does this. Returns what
    /// it was, for the search for misuse only.
    pub(super) fn open(&self) -> Word {
        // Release: pairs with the Acquire in `add`. What it overwrites means nothing, so a
        // store would do; but loom does not order a store against concurrent read-modify-writes as
        // strictly as C11 does.
        Word::at(self.0.swap(Word::OPEN.0, Ordering::Release))
    }

    /// What was taken here less what was released here, whether the slot is open or closed.
    pub(crate) fn racy_count(&self) -> i64 {
        // Relaxed: pairs with nothing, the answer is for people.
        Word::at(self.0.load(Ordering::Relaxed)).count()
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the net count.
impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.racy_count())
    }
}

type Word = SlotWord<0>;

/// The two highest bits are marks, and the count below is offset so that it may go down to -2^61
/// without disturbing them:
///
/// ```text
///   1x...  closed
///   01...  open, and more is counted than may be
///   00...  open: 2^61 + count
/// ```
///
/// `UNIT` is the bit that counts one. It is 0, and only in tests greater: then the word is narrow
/// enough to try all its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) struct SlotWord<const UNIT: u32>(u64);

impl<const UNIT: u32> SlotWord<UNIT> {
    const ZERO: u64 = 1 << 61;
    const FULL: u64 = 1 << 62;
    const CLOSED: u64 = 1 << 63;

    const OPEN: Self = Self(Self::ZERO);
    const MAX_COUNT: u64 = (Self::FULL - Self::ZERO) >> UNIT;

    #[inline]
    const fn at(bits: u64) -> Self {
        Self(bits)
    }

    /// What to add for `n`.
    #[inline]
    const fn times(n: u32) -> u64 {
        (n as u64) << UNIT
    }

    /// Whether the acquire that found this word is granted: the slot was open, and not full.
    #[inline]
    pub(super) const fn grants(self) -> bool {
        self.0 < Self::FULL
    }

    /// Whether the release of `n` that found this word was counted here: the slot was open, and has
    /// not fallen out of its range.
    #[inline]
    pub(super) const fn counts_release(self, n: u32) -> bool {
        // One signed comparison for both: closed words are negative.
        self.0.cast_signed() >= Self::times(n).cast_signed()
    }

    pub(super) const fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    /// The count, with its sign, whatever the marks.
    pub(super) const fn count(self) -> i64 {
        let open = self.0 & !Self::CLOSED;
        open.cast_signed().wrapping_sub(Self::ZERO.cast_signed()) >> UNIT
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    /// 8 bits: counts from -32 to 31, and 32 more where it is full.
    type Narrow = SlotWord<56>;

    fn counting(count: i64) -> Narrow {
        Narrow::at(Narrow::ZERO.wrapping_add_signed(count << 56))
    }

    /// Every narrow word, every small number of references.
    fn every() -> impl Iterator<Item = (i64, u32)> {
        (-32..96).flat_map(|count| (0..32).map(move |n| (count, n)))
    }

    #[test]
    fn an_open_word_grants_up_to_its_capacity() {
        for (count, _) in every() {
            let word = counting(count);
            assert!(!word.is_closed());
            assert_eq!(
                word.grants(),
                count < Narrow::MAX_COUNT.cast_signed(),
                "{count}"
            );
            assert_eq!(word.count(), count);
        }
    }

    #[test]
    fn a_release_counts_unless_the_word_would_fall_out_of_range() {
        for (count, n) in every() {
            let word = counting(count);
            assert_eq!(
                word.counts_release(n),
                count - i64::from(n) >= -32,
                "{count} - {n}"
            );
        }
    }

    #[test]
    fn the_mark_closes_and_keeps_the_count() {
        for (count, n) in every() {
            let word = Narrow::at(counting(count).0.wrapping_add(Narrow::CLOSED));
            assert!(word.is_closed() && !word.grants() && !word.counts_release(n));
            assert_eq!(word.count(), count);
        }
    }

    #[test]
    fn what_comes_to_a_closed_word_does_not_open_it() {
        // As many as may be held release there, or a few acquires are refused.
        for change in -32_i64..=32 {
            let closed = Narrow::OPEN.0 | Narrow::CLOSED;
            let word = Narrow::at(closed.wrapping_add_signed(change << 56));
            assert!(word.is_closed(), "{change}");
        }
    }

    #[test]
    fn a_slot_has_a_stride_of_its_own() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (128, 128));
    }
}
