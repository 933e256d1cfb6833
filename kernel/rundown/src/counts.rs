//! Net counts per slot, for people to read: [`RacyCounts`].

use core::fmt;
use core::ops::Range;

use crate::variant::{Rundown, Variant};

/// The net count of each slot, in order; from
/// [`Rundown::racy_counts`](crate::Rundown::racy_counts).
pub struct RacyCounts<'a, V: Variant + ?Sized> {
    rundown: &'a Rundown<V>,
    /// Those to come.
    slots: Range<usize>,
}

impl<'a, V: Variant + ?Sized> RacyCounts<'a, V> {
    pub(crate) fn of(rundown: &'a Rundown<V>) -> Self {
        let slots = 0..V::slot_count(rundown);
        Self { rundown, slots }
    }
}

impl<V: Variant + ?Sized> Clone for RacyCounts<'_, V> {
    fn clone(&self) -> Self {
        Self {
            slots: self.slots.clone(),
            ..*self
        }
    }
}

impl<V: Variant + ?Sized> Iterator for RacyCounts<'_, V> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let slot = self.slots.next()?;
        // SAFETY: one of the object's slots; their number does not change once there are any.
        Some(unsafe { V::racy_count(self.rundown, slot) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}

impl<V: Variant + ?Sized> ExactSizeIterator for RacyCounts<'_, V> {}

/// Lists those that are not zero, by slot: `{1: 2, 7: -1}`.
impl<V: Variant + ?Sized> fmt::Debug for RacyCounts<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.clone().enumerate().filter(|&(_, count)| count != 0))
            .finish()
    }
}
