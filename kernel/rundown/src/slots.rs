//! Where the slots live.

use core::fmt;

use crate::slot::Slot;

/// Memory that holds a rundown's slots.
///
/// Sealed, because protection rests on it: an implementation returns the same slots every time,
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

/// Why an object cannot be made with these slots, or in this memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotsError {
    /// An object needs at least one slot.
    NoSlots,
    /// So many slots fit into no memory.
    TooManySlots,
    /// The heap has no room for so many slots.
    OutOfMemory,
    /// The memory does not start at a multiple of `required` bytes.
    Misaligned {
        /// In bytes.
        required: usize,
    },
    /// The memory is not large enough.
    TooSmall {
        /// In bytes, for so many slots.
        required: usize,
        /// In bytes.
        given: usize,
    },
}

impl fmt::Display for SlotsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlots => f.write_str("a cache-aware rundown needs at least one slot"),
            Self::TooManySlots => f.write_str("so many slots fit into no memory"),
            Self::OutOfMemory => f.write_str("no memory for so many slots"),
            Self::Misaligned { required } => {
                write!(f, "the memory must start at a multiple of {required} bytes")
            }
            Self::TooSmall { required, given } => {
                write!(f, "the memory has {given} bytes, {required} are needed")
            }
        }
    }
}

impl core::error::Error for SlotsError {}
