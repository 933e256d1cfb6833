//! Cache-aware objects with their slots on the heap.

use core::fmt;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::cache_aware::CacheAware;
use crate::platform::Platform;
use crate::slot::{Capacity, Slot};
use crate::slots::NoSlots;
use crate::variant::{Isolation, Rundown};

impl<P: Platform, A: Isolation> Rundown<CacheAware<P, Box<[Slot]>, A>> {
    /// An open object with `slots` slots on the heap.
    ///
    /// # Panics
    /// If `slots` is zero. Allocation failure as for any box.
    #[must_use]
    pub fn boxed(slots: usize) -> Self {
        assert!(slots > 0, "{NoSlots}");
        let capacity = Capacity::of(slots);
        Self::over_slots((0..slots).map(|_| Slot::with_capacity(capacity)).collect())
    }

    /// An open object with `slots` slots on the heap, if there is the memory for it.
    ///
    /// # Errors
    /// [`BoxError`] if `slots` is zero, or too many for the heap.
    pub fn try_boxed(slots: usize) -> Result<Self, BoxError> {
        if slots == 0 {
            return Err(BoxError::NoSlots);
        }
        let mut memory: Vec<Slot> = Vec::new();
        memory
            .try_reserve_exact(slots)
            .map_err(|_| BoxError::OutOfMemory)?;
        let capacity = Capacity::of(slots);
        memory.resize_with(slots, || Slot::with_capacity(capacity));
        Ok(Self::over_slots(memory.into_boxed_slice()))
    }
}

/// Why [`try_boxed`](crate::CacheAwareRundown::try_boxed) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoxError {
    /// No slot was asked for.
    NoSlots,
    /// The heap has no room for so many slots.
    OutOfMemory,
}

impl fmt::Display for BoxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlots => NoSlots.fmt(f),
            Self::OutOfMemory => f.write_str("no memory for so many slots"),
        }
    }
}

impl core::error::Error for BoxError {}
