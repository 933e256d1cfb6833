//! One CPU's counter, [`Slot`], and where those of an object live: [`Slots`].

use crate::primitive::{AtomicU64, Ordering};
use crate::shared::SharedCount;

/// One CPU's counter, with 128 bytes to itself: x86 prefetches cache lines of 64 bytes in pairs
/// (Intel 64 and IA-32 Architectures Optimization Reference Manual, "Data Prefetching").
///
/// Every operation of a user is *one* read-modify-write, and the marks in the value it returns say
/// what it was: on an open slot it counts, and the next close will find it; on a closed slot it
/// means nothing, and its addition is discarded when the slot opens again. Nothing is ever undone.
#[derive(Debug)]
#[repr(align(128))]
pub struct Slot(AtomicU64);

impl Slot {
    const_unless_model! {
        /// A slot. It becomes part of an object with
        /// [`with_slots`](crate::CacheAwareRundown::with_slots).
        pub fn new() -> Self {
            Self::with_capacity(Capacity::of(1))
        }

        /// An open slot that counts nothing.
        pub(crate) fn with_capacity(capacity: Capacity) -> Self {
            Self(AtomicU64::new(Word::open(capacity).0))
        }

        /// Those of an object with `N` slots inside.
        pub(crate) fn array<const N: usize>() -> [Self; N] {
            array_of![Self::with_capacity(Capacity::of(N)); N]
        }
    }

    /// An acquire of `n`.
    #[inline]
    pub(crate) fn add(&self, n: u32) -> Word {
        // Acquire: pairs with the Release in `open` when it counts (the value is visible), and with
        // the Release in `close` when it does not (the state word is seen closed, S1).
        Word::at(self.0.fetch_add(Word::times(n), Ordering::Acquire))
    }

    /// A release of `n`. If it counts, this was its last touch of the object (S3).
    #[inline]
    pub(crate) fn take(&self, n: u32) -> Word {
        // Release: pairs with the Acquire in `close`; the closer sees what was done before (S2).
        Word::at(self.0.fetch_sub(Word::times(n), Ordering::Release))
    }

    /// Closes the slot and returns what it counted; only the sum over all slots means something
    /// (S4). The count stays, for people to read.
    pub(crate) fn close(&self, capacity: Capacity) -> i64 {
        // An addition sets the mark, since the slot is open: it is one instruction on x86, an OR
        // that returns the old value is a loop.
        //
        // AcqRel. Acquire: pairs with the Release in `take` (S2; all writes of an open slot are
        // read-modify-writes, so it sees them all). Release: pairs with the Acquire in `add` (S1).
        Word::at(self.0.fetch_add(Word::CLOSED, Ordering::AcqRel)).count(capacity)
    }

    /// Opens the slot, at zero: by the caller that has claimed the object, or cancels its drain.
    /// Returns what it was, for the search for misuse only.
    pub(crate) fn open(&self, capacity: Capacity) -> Word {
        // Release: pairs with the Acquire in `add`. A store would do, but loom does not order a
        // store against concurrent read-modify-writes as strictly as C11 does.
        Word::at(self.0.swap(Word::open(capacity).0, Ordering::Release))
    }

    /// The number taken here less the number released here, whether the slot is open or closed.
    pub(crate) fn racy_count(&self, capacity: Capacity) -> i64 {
        // Relaxed: pairs with nothing, the answer is for people.
        Word::at(self.0.load(Ordering::Relaxed)).count(capacity)
    }
}

/// How many more protections than were released on a slot can be taken there: 2^59 by the number of
/// slots, rounded up to a power of two. So no more than 2^60 can be taken of an object, and all of
/// them can be released on one slot without an effect on its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity(pub(crate) u64);

impl Capacity {
    /// For objects with this number of slots.
    pub(crate) const fn of(slots: usize) -> Self {
        let most = SharedCount::MOST_IN_SLOTS.unsigned_abs();
        // Half of it: the acquire that fills a slot, and those that are refused meanwhile, go
        // beyond by less than 2^32 each. (No object has 2^59 slots.)
        Self((most / 2) >> slots.next_power_of_two().trailing_zeros())
    }
}

default_is_new!(Default for Slot);

/// Memory that holds a rundown's slots.
///
/// # Safety
/// An implementation returns the same slots every time, and shares them with no other object. (That
/// is why it is `&'static mut`, not `&'static`.) It neither blocks, allocates nor panics: every
/// acquire and release calls it, in any context.
pub unsafe trait Slots: AsRef<[Slot]> + Send + Sync {}

// SAFETY: they are the slots.
unsafe impl<const N: usize> Slots for [Slot; N] {}
// SAFETY: as above.
unsafe impl Slots for [Slot] {}
// SAFETY: a mutable reference is the only one; the slots stay.
unsafe impl Slots for &'static mut [Slot] {}
// SAFETY: it owns them, and they stay where they are.
#[cfg(feature = "alloc")]
unsafe impl Slots for alloc::boxed::Box<[Slot]> {}

/// Why an object cannot be made with these slots, or in this memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotsError {
    /// An object needs at least one slot.
    NoSlots,
    /// That many slots fit into no memory.
    TooManySlots,
    /// The heap has no room for that many slots.
    OutOfMemory,
    /// The memory does not start at a multiple of `required` bytes.
    Misaligned {
        /// In bytes.
        required: usize,
    },
    /// The memory is not large enough.
    TooSmall {
        /// In bytes, for that many slots.
        required: usize,
        /// In bytes.
        given: usize,
    },
}

display! { error SlotsError:
    Self::NoSlots => "a cache-aware rundown needs at least one slot",
    Self::TooManySlots => "that many slots fit into no memory",
    Self::OutOfMemory => "no memory for that many slots",
    Self::Misaligned { required } => "the memory must start at a multiple of {required} bytes",
    Self::TooSmall { required, given } => "the memory has {given} bytes, {required} are needed",
}

type Word = SlotWord<0>;

/// The two highest bits are marks. The count below starts so far from both ends that neither what
/// is granted nor what is released can disturb them:
///
/// ```text
///   1x...  closed
///   01...  open, and more is counted than may be
///   00...  open: 2^62 - capacity + count
/// ```
///
/// - Up: an acquire is granted below 2^62. One that finds more is counted until it has given back;
///   one that finds the slot closed has seen the object open before (as do holders that take more,
///   S12), and adds once. So above 2^62, or 2^63, there are at most 2^32 from each CPU and each
///   handler that interrupts another on it.
/// - Down: at most 2^60 protections are held of an object through its slots, and as many after a
///   cancel. If all of them are released on one slot, it has 2^62 - 2^60 to go. Protections that
///   holders add while the object drains come back one at a time, at one every nanosecond for a
///   hundred years, or many at once, and then not here.
///
/// `UNIT` is the bit that counts one: 0, but greater in tests, which try all narrow words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct SlotWord<const UNIT: u32>(u64);

impl<const UNIT: u32> SlotWord<UNIT> {
    const FULL: u64 = 1 << 62;
    const CLOSED: u64 = 1 << 63;

    /// Counting nothing.
    const fn open(capacity: Capacity) -> Self {
        Self(Self::FULL - (capacity.0 << UNIT))
    }

    const fn at(bits: u64) -> Self {
        Self(bits)
    }

    /// The number to add for `n`.
    const fn times(n: u32) -> u64 {
        (n as u64) << UNIT
    }

    /// Whether the acquire that found this word is granted: the slot was open, and not full.
    pub(crate) const fn grants(self) -> bool {
        self.0 < Self::FULL
    }

    /// Whether the release of `n` that found this word was counted: the slot was open, in range.
    pub(crate) const fn counts_release(self, n: u32) -> bool {
        // One signed comparison for both: closed words are negative.
        self.0.cast_signed() >= Self::times(n).cast_signed()
    }

    pub(crate) const fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    /// The count, with its sign, whatever the marks.
    pub(crate) const fn count(self, capacity: Capacity) -> i64 {
        let open = self.0 & !Self::CLOSED;
        open.cast_signed().wrapping_sub(Self::open(capacity).0.cast_signed()) >> UNIT
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    /// 8 bits: counts from -48 to 15, and 64 more where it is full.
    type Narrow = SlotWord<56>;
    const CAPACITY: Capacity = Capacity(16);

    fn counting(count: i64) -> Narrow {
        Narrow::at(Narrow::open(CAPACITY).0.wrapping_add_signed(count << 56))
    }

    /// Every narrow word, every small number of references.
    fn every() -> impl Iterator<Item = (i64, u32)> {
        (-48..80).flat_map(|count| (0..32).map(move |n| (count, n)))
    }

    #[test]
    fn an_open_word_grants_up_to_its_capacity() {
        for (count, _) in every() {
            let word = counting(count);
            assert!(!word.is_closed());
            assert_eq!(word.grants(), count < 16, "{count}");
            assert_eq!(word.count(CAPACITY), count);
        }
    }

    #[test]
    fn a_release_counts_unless_the_word_would_fall_out_of_range() {
        for (count, n) in every() {
            let word = counting(count);
            let in_range = count - i64::from(n) >= -48;
            assert_eq!(word.counts_release(n), in_range, "{count} - {n}");
        }
    }

    #[test]
    fn the_mark_closes_and_keeps_the_count() {
        for (count, n) in every() {
            let word = Narrow::at(counting(count).0.wrapping_add(Narrow::CLOSED));
            assert!(word.is_closed() && !word.grants() && !word.counts_release(n));
            assert_eq!(word.count(CAPACITY), count);
        }
    }

    /// All that may be held of an object is released on one slot, closed or not: what its own slots
    /// have granted, and as much that a cancel has carried over; on top of a slot that others have
    /// taken down as far already. And more is refused there than CPUs can try at a time.
    #[test]
    fn all_that_may_be_held_leaves_the_marks_alone() {
        let held = SharedCount::MOST_IN_SLOTS;
        for slots in [1, 2, 3, 64, 255, 4096] {
            let capacity = Capacity::of(slots);
            let all = i64::try_from(capacity.0).unwrap() * i64::try_from(slots).unwrap();
            assert!(all <= held / 2 && all > held / 4);
            let open = Word::open(capacity).0;
            for released in [held, 2 * held] {
                assert!(!Word::at(open.wrapping_add_signed(-released)).is_closed());
                let closed = (open | Word::CLOSED).wrapping_add_signed(-held - released);
                assert!(Word::at(closed).is_closed());
            }
            let refused = (1 << 20) * u64::from(u32::MAX);
            assert!(!Word::at(open + capacity.0 + refused).is_closed());
            assert!(Word::at(open + capacity.0 + Word::CLOSED + refused).is_closed());
        }
    }
}
