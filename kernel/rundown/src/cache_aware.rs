//! The cache-aware variant: a counter per CPU, each on cache lines of its own.
//!
//! `unsafe` here: memory of the caller's becomes an object.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::{ptr, slice};

#[cfg(feature = "alloc")]
use alloc::{boxed::Box, vec::Vec};

use crate::platform::Platform;
use crate::shared::SharedCount;
use crate::slot::{Capacity, Slot, SlotWord, Slots, SlotsError};
use crate::state::{Misuse, ObjectId, Refused};
use crate::variant::{Isolated, Isolation, Rundown, Sealed, Variant};
use crate::word::Word;

#[cfg(feature = "alloc")]
type DefaultSlots = Box<[Slot]>;
#[cfg(not(feature = "alloc"))]
type DefaultSlots = &'static mut [Slot];

/// Rundown protection with a counter per CPU: users on different CPUs never write the same cache
/// line. Acquire is one load and one atomic add on the CPU's own slot, release the add alone.
///
/// `S` is where the slots live: `[Slot; N]` inside the object, a `Box<[Slot]>` (feature `alloc`,
/// the default there), `&'static mut [Slot]`, or `[Slot]`: all in one piece of the caller's memory,
/// see [`place`](Self::place). One slot per CPU is best; with fewer, CPUs share (S11).
pub type CacheAwareRundown<P, S = DefaultSlots> = Rundown<CacheAware<P, S>>;

/// The cache-aware variant: see [`CacheAwareRundown`]. `A` is [`Isolated`] or
/// [`Compact`](crate::Compact).
pub struct CacheAware<P: Platform, S: Slots + ?Sized = DefaultSlots, A: Isolation = Isolated> {
    marker: PhantomData<fn() -> (P, A)>,
    // Last, since their number may be known only at run time.
    slots: S,
}

impl<P: Platform, A: Isolation, const N: usize> Rundown<CacheAware<P, [Slot; N], A>> {
    const_unless_model! {
        /// An open object with its `N` slots inside. Zero slots do not compile:
        ///
        /// ```compile_fail,E0080
        /// # use rundown::{CacheAwareRundown, HostPlatform, Slot};
        /// let none = CacheAwareRundown::<HostPlatform, [Slot; 0]>::new();
        /// ```
        pub fn new() -> Self {
            const { assert!(N > 0, "a cache-aware rundown needs at least one slot") };
            Self::over_slots(Slot::array())
        }
    }
}

default_is_new! { <P: Platform, A: Isolation, const N: usize> Default for Rundown<CacheAware<P, [Slot; N], A>> }

impl<P: Platform, S: Slots, A: Isolation> Rundown<CacheAware<P, S, A>> {
    /// An open object over the caller's slots.
    ///
    /// # Errors
    /// [`SlotsError::NoSlots`] if there are none.
    pub fn with_slots(slots: S) -> Result<Self, SlotsError> {
        if slots.as_ref().is_empty() {
            return Err(SlotsError::NoSlots);
        }
        // They may have served another object before, with other slots.
        let capacity = Capacity::of(slots.as_ref().len());
        for slot in slots.as_ref() {
            let _ = slot.open(capacity);
        }
        Ok(Self::over_slots(slots))
    }

    const_unless_model! {
        /// An open object over slots that are open and count nothing.
        pub(crate) fn over_slots(slots: S) -> Self {
            Self::over(SharedCount::new(), CacheAware { marker: PhantomData, slots })
        }
    }
}

#[cfg(feature = "alloc")]
impl<P: Platform, A: Isolation> Rundown<CacheAware<P, Box<[Slot]>, A>> {
    /// An open object with `slots` slots on the heap.
    ///
    /// # Panics
    /// If `slots` is zero, or there is no memory for that many.
    pub fn boxed(slots: usize) -> Self {
        Self::try_boxed(slots).unwrap_or_else(|error| panic!("{error}"))
    }

    /// An open object with `slots` slots on the heap, if there is the memory for it.
    ///
    /// # Errors
    /// [`SlotsError::NoSlots`], or [`SlotsError::OutOfMemory`] if they are too many for the heap.
    pub fn try_boxed(slots: usize) -> Result<Self, SlotsError> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(slots).map_err(|_| SlotsError::OutOfMemory)?;
        memory.resize_with(slots, Slot::new);
        Self::with_slots(memory.into_boxed_slice())
    }
}

impl<P: Platform> Rundown<CacheAware<P, [Slot]>> {
    /// How much memory an object with `slots` slots takes, and how it is to be aligned: 128 bytes
    /// and 128 for each slot, at a multiple of 128.
    ///
    /// # Errors
    /// [`SlotsError::NoSlots`], or [`SlotsError::TooManySlots`] if the size overflows `isize`.
    pub fn layout(slots: usize) -> Result<Layout, SlotsError> {
        if slots == 0 {
            return Err(SlotsError::NoSlots);
        }
        let (whole, _) = Layout::array::<Slot>(slots)
            .and_then(|slots| Layout::new::<Head<P>>().extend(slots))
            .map_err(|_| SlotsError::TooManySlots)?;
        Ok(whole.pad_to_align())
    }

    /// Makes an open object with `slots` slots at the start of the memory. It needs no drop.
    ///
    /// ```
    /// use core::mem::MaybeUninit;
    /// use rundown::{CacheAwareRundown, HostPlatform, Slot};
    ///
    /// #[repr(align(128))]
    /// struct Memory([MaybeUninit<u8>; 1024]);
    ///
    /// let mut memory = Memory([MaybeUninit::uninit(); 1024]);
    /// let rundown = CacheAwareRundown::<HostPlatform, [Slot]>::place(&mut memory.0, 6)?;
    /// assert!(rundown.try_acquire().is_some());
    /// # Ok::<(), rundown::SlotsError>(())
    /// ```
    ///
    /// # Errors
    /// [`SlotsError`] says what is wrong with the memory, which is then as it was.
    pub fn place(memory: &mut [MaybeUninit<u8>], slots: usize) -> Result<&mut Self, SlotsError> {
        let layout = Self::layout(slots)?;
        let required = layout.align();
        if !memory.as_ptr().addr().is_multiple_of(required) {
            return Err(SlotsError::Misaligned { required });
        }
        let (required, given) = (layout.size(), memory.len());
        if given < required {
            return Err(SlotsError::TooSmall { required, given });
        }
        let (head, tail) = memory.split_at_mut(size_of::<Head<P>>());
        let place = head.as_mut_ptr().cast::<Head<P>>();
        // SAFETY: the place is as large as a head, and aligned for the whole object.
        unsafe { place.write(Head::over_slots([])) };
        let first = tail.as_mut_ptr().cast::<MaybeUninit<Slot>>();
        // SAFETY: the tail has room for `slots`, and starts at a multiple of their alignment.
        for place in unsafe { slice::from_raw_parts_mut(first, slots) } {
            place.write(Slot::with_capacity(Capacity::of(slots)));
        }
        // The length of the slice is the number of slots: the cast keeps it.
        let object = ptr::slice_from_raw_parts_mut(memory.as_mut_ptr(), slots) as *mut Self;
        // SAFETY: every field is initialised, and the memory is borrowed for as long as the result.
        Ok(unsafe { &mut *object })
    }

    /// The same, born closed: run down, until it is [opened](crate::Rundown::open) (S9).
    pub fn place_closed(
        memory: &mut [MaybeUninit<u8>],
        slots: usize,
    ) -> Result<&mut Self, SlotsError> {
        let object = Self::place(memory, slots)?;
        object.gate.begin_with(Word::RUN_DOWN);
        Ok(object)
    }
}

/// An object without slots: the part before them, with the fields in the same order. It is aligned
/// as slots are, so its size is a multiple of that, and the first slot follows directly.
type Head<P> = CacheAwareRundown<P, [Slot; 0]>;

impl<P: Platform, S: Slots + ?Sized, A: Isolation> Rundown<CacheAware<P, S, A>> {
    /// How many more protections than were released on a slot can be taken there: 2^59 divided by
    /// the number of slots, rounded up to a power of two. Beyond it, an acquire is
    /// [refused](Refused::Full): with 64 slots, after 3 years of taking one every 10 ns there, or
    /// 2^21 calls for `u32::MAX` at a time.
    pub fn capacity(&self) -> u64 {
        self.slot_capacity().0
    }

    fn slot_capacity(&self) -> Capacity {
        Capacity::of(self.slots().len())
    }

    #[inline]
    fn slots(&self) -> &[Slot] {
        self.variant.slots.as_ref()
    }

    /// The slot that the hint points to; any hint will do (S11).
    #[inline]
    fn slot(&self) -> &Slot {
        let slots = self.slots();
        let hint = P::cpu_hint();
        // The division is for wrong hints only.
        slots.get(hint).unwrap_or_else(|| &slots[hint % slots.len()])
    }

    #[inline]
    fn release_on(&self, slot: &Slot, n: u32) {
        let found = slot.take(n);
        if !found.counts_release(n) {
            self.release_late(found, n);
        }
        // Otherwise its last touch was the slot (S3): the closer has yet to come, and will find it.
    }

    /// An acquire of `n` that found its slot closed or full.
    #[cold]
    fn not_granted(&self, slot: &Slot, found: SlotWord<0>, n: u32) -> Refused {
        if found.is_closed() {
            // Its addition has no meaning and stays there: see `Slot`.
            return Refused::Closed;
        }
        // It counts, though, so this caller holds `n`, and gives them back; on this very slot,
        // which would stay full for ever if the hint were another now.
        self.release_on(slot, n);
        Refused::Full
    }

    /// A release of `n` that its slot, `found` so, did not count.
    #[cold]
    fn release_late(&self, found: SlotWord<0>, n: u32) {
        let object = ObjectId::of(self);
        if found.is_closed() {
            // The closer has put these on the shared count, or is about to.
            self.gate.counts.release::<P>(object, n);
        } else {
            P::misuse(&Misuse::OutOfRange { object });
        }
    }
}

impl<P: Platform, S: Slots + ?Sized, A: Isolation> Sealed for CacheAware<P, S, A> {}

impl<P: Platform, S: Slots + ?Sized, A: Isolation> Variant for CacheAware<P, S, A> {
    type Platform = P;

    const NAME: &'static str = "cache-aware";

    type Counts = SharedCount;
    type Isolation = A;

    #[inline]
    fn acquire(this: &Rundown<Self>, n: u32) -> Result<(), Refused> {
        if !this.gate.is_open() {
            // Nor does a holder that takes more (S12) wear out a closed slot: see `SlotWord`.
            return Err(Refused::Closed);
        }
        // The slot has the last word: the object may close between the two.
        let slot = this.slot();
        let found = slot.add(n);
        if found.grants() { Ok(()) } else { Err(this.not_granted(slot, found, n)) }
    }

    #[inline]
    unsafe fn release(this: &Rundown<Self>, n: u32) {
        if n > 1 && !this.gate.is_open() {
            // Holders that take more while the object drains must not wear out a closed slot by
            // their releases: see `SlotWord`.
            return this.gate.counts.release::<P>(ObjectId::of(this), n);
        }
        this.release_on(this.slot(), n);
    }

    fn racy_counts(this: &Rundown<Self>) -> impl ExactSizeIterator<Item = i64> + Clone {
        let capacity = this.slot_capacity();
        let slots = this.slots().iter();
        slots.map(move |slot| slot.racy_count(capacity))
    }

    unsafe fn drain_slots(this: &Rundown<Self>) -> i128 {
        // Only now, after the state word: once a slot refuses, every later acquire is refused (S1).
        let capacity = this.slot_capacity();
        let counts = this.slots().iter().map(|slot| slot.close(capacity));
        counts.map(i128::from).sum()
    }

    unsafe fn reset_slots(this: &Rundown<Self>) -> u64 {
        let capacity = this.slot_capacity();
        // A slot is still open only if the object was born closed, and then nothing was granted.
        let surplus: i64 = this
            .slots()
            .iter()
            .map(|slot| slot.open(capacity))
            .filter(|before| !before.is_closed())
            .map(|before| before.count(capacity))
            .fold(0, i64::wrapping_add);
        surplus.min(0).unsigned_abs()
    }
}

#[cfg(all(test, feature = "std", not(rundown_loom)))]
mod tests {
    use core::mem::offset_of;

    use super::*;
    use crate::host::HostPlatform;
    use crate::variant::Compact;

    /// In bytes: a pair of cache lines, see [`Slot`].
    const STRIDE: usize = 128;

    type Inside = CacheAware<HostPlatform, [Slot; 2]>;
    type Elsewhere = CacheAware<HostPlatform, &'static mut [Slot]>;
    type Small = CacheAware<HostPlatform, &'static mut [Slot], Compact>;

    #[test]
    fn what_users_write_is_on_no_line_that_others_read() {
        let slots = offset_of!(Rundown<Inside>, variant) + offset_of!(Inside, slots);
        assert_eq!((offset_of!(Rundown<Inside>, gate), slots), (0, STRIDE));
        assert_eq!(align_of::<Rundown<Inside>>(), STRIDE);
        assert_eq!(size_of::<Rundown<Inside>>(), 3 * STRIDE);
        assert_eq!(size_of::<Rundown<Elsewhere>>(), 64);
        // An acquire finds the state word and the way to its slot on one line.
        let slots = offset_of!(Rundown<Elsewhere>, variant) + offset_of!(Elsewhere, slots);
        assert!(slots + size_of::<&[Slot]>() <= 64);
        assert_eq!(size_of::<Rundown<Small>>(), 40);
    }
}
