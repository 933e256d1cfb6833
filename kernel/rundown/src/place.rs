//! A cache-aware object with its slots in one piece of the caller's memory, their number known at run time.
//!
//! `unsafe` here: the memory becomes the object.

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::{ptr, slice};

use crate::cache_aware::{CacheAware, CacheAwareRundown};
use crate::platform::Platform;
use crate::slot::{Capacity, Slot};
use crate::slots::SlotsError;
use crate::variant::Rundown;
use crate::word::Word;

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

    /// Makes an open object with `slots` slots in the caller's memory, at its start. Whatever was
    /// there is overwritten. It needs no drop.
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
        if !memory.as_ptr().addr().is_multiple_of(layout.align()) {
            return Err(SlotsError::Misaligned {
                required: layout.align(),
            });
        }
        if memory.len() < layout.size() {
            return Err(SlotsError::TooSmall {
                required: layout.size(),
                given: memory.len(),
            });
        }
        let (head, tail) = memory.split_at_mut(size_of::<Head<P>>());
        // SAFETY: the place is as large as a head, and aligned for the whole object.
        unsafe {
            head.as_mut_ptr()
                .cast::<Head<P>>()
                .write(Head::over_slots([]))
        };
        let first = tail.as_mut_ptr().cast::<MaybeUninit<Slot>>();
        // SAFETY: the tail has room for so many, and starts at a multiple of their alignment.
        for place in unsafe { slice::from_raw_parts_mut(first, slots) } {
            place.write(Slot::with_capacity(Capacity::of(slots)));
        }
        // The length of the slice is the number of slots: the cast keeps it.
        let object = ptr::slice_from_raw_parts_mut(memory.as_mut_ptr(), slots) as *mut Self;
        // SAFETY: every field is initialised, and the memory is lent for as long as the result lives.
        Ok(unsafe { &mut *object })
    }

    /// The same, born closed: run down, until it is [opened](crate::Rundown::open) (S9).
    ///
    /// # Errors
    /// As for [`place`](Self::place).
    pub fn place_closed(
        memory: &mut [MaybeUninit<u8>],
        slots: usize,
    ) -> Result<&mut Self, SlotsError> {
        let object = Self::place(memory, slots)?;
        object.gate.begin_with(Word::RUN_DOWN);
        Ok(object)
    }
}

/// An object without slots: the part before them, as the fields stand in the order in which they are
/// declared. Its size is a multiple of the slots' alignment, as it has the same.
type Head<P> = CacheAwareRundown<P, [Slot; 0]>;
