//! Where the slots live.

use core::fmt;

use crate::slot::Slot;

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
    use crate::slot::Slot;

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
