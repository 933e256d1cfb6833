//! Where the slots live.

use core::fmt;

use super::Slot;

/// Memory that holds a rundown's slots.
///
/// Sealed, because protection rests on it: whoever implements it returns the same slots every time,
/// and shares them with no other object. (That is why it is `&'static mut`, not `&'static`.)
pub trait Slots: AsRef<[Slot]> + Send + Sync + sealed::Sealed {}

impl<const N: usize> Slots for [Slot; N] {}
impl Slots for [Slot] {}
impl Slots for &'static mut [Slot] {}
#[cfg(feature = "alloc")]
impl Slots for alloc::boxed::Box<[Slot]> {}

mod sealed {
    use super::Slot;

    pub trait Sealed {}
    impl<const N: usize> Sealed for [Slot; N] {}
    impl Sealed for [Slot] {}
    impl Sealed for &'static mut [Slot] {}
    #[cfg(feature = "alloc")]
    impl Sealed for alloc::boxed::Box<[Slot]> {}
}

/// A cache-aware rundown needs at least one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSlots;

impl fmt::Display for NoSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cache-aware rundown needs at least one slot")
    }
}

impl core::error::Error for NoSlots {}

#[cfg(feature = "alloc")]
pub use self::on_the_heap::BoxError;

#[cfg(feature = "alloc")]
mod on_the_heap {
    use core::fmt;

    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use super::{NoSlots, Slot};
    use crate::cache_aware::CacheAwareRundown;
    use crate::platform::Platform;

    impl<P: Platform> CacheAwareRundown<P> {
        /// An open object with `slots` slots on the heap.
        ///
        /// # Panics
        /// If `slots` is zero. Allocation failure as for any box.
        #[must_use]
        pub fn boxed(slots: usize) -> Self {
            assert!(slots > 0, "{NoSlots}");
            Self::over((0..slots).map(|_| Slot::new()).collect())
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
            memory.resize_with(slots, Slot::new);
            let memory: Box<[Slot]> = memory.into_boxed_slice();
            Ok(Self::over(memory))
        }
    }

    /// Why [`try_boxed`](CacheAwareRundown::try_boxed) failed.
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
}
