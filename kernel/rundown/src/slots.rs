//! Where the slots live.

use crate::impls::display;
use crate::slot::Slot;

/// Memory that holds a rundown's slots.
///
/// # Safety
/// Protection rests on it: an implementation returns the same slots every time, and shares them
/// with no other object. (That is why it is `&'static mut`, not `&'static`.)
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

display! { error SlotsError:
    Self::NoSlots => "a cache-aware rundown needs at least one slot",
    Self::TooManySlots => "so many slots fit into no memory",
    Self::OutOfMemory => "no memory for so many slots",
    Self::Misaligned { required } => "the memory must start at a multiple of {required} bytes",
    Self::TooSmall { required, given } => "the memory has {given} bytes, {required} are needed",
}
