//! The cache-aware kind: a counter per CPU, each on cache lines of its own.

mod central;
mod slot;
mod storage;
mod switch;

use core::marker::PhantomData;

use self::central::Central;
pub use self::slot::Slot;
pub use self::storage::{NoSlots, Slots};
use self::switch::Switch;
use crate::lifecycle::{Kind, Rundown};
use crate::platform::Platform;
use crate::primitive::const_unless_model;
use crate::state::{Cycle, Phase, Refused, Snapshot};

#[cfg(feature = "alloc")]
type DefaultSlots = alloc::boxed::Box<[Slot]>;

/// Rundown protection with a counter per CPU: users on different CPUs never write the same cache
/// line.
///
/// Acquire is one load and one atomic add on the CPU's own slot, release the add alone, both
/// wait-free. `S` is where the slots live: `[Slot; N]` inside the object, a `Box<[Slot]>` (feature
/// `alloc`, the default there), or `&'static mut [Slot]`, memory of the caller's. One slot per CPU
/// is best; with fewer, CPUs share (S11).
pub struct CacheAwareRundown<
    P: Platform,
    #[cfg(feature = "alloc")] S: Slots = DefaultSlots,
    #[cfg(not(feature = "alloc"))] S: Slots,
> {
    /// Read by every acquire, written only by the owner: it shares its line with `slots` (a pointer
    /// that never changes, or an array with an alignment of its own), and with nothing that users
    /// write.
    switch: Switch,
    /// Written by late releases.
    central: Central,
    slots: S,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform, const N: usize> CacheAwareRundown<P, [Slot; N]> {
    const_unless_model! {
        /// An open object with its `N` slots inside. Zero slots do not compile:
        ///
        /// ```compile_fail,E0080
        /// # use rundown::{CacheAwareRundown, HostPlatform, Slot};
        /// let none = CacheAwareRundown::<HostPlatform, [Slot; 0]>::new();
        /// ```
        pub fn new() -> Self {
            const { assert!(N > 0, "a cache-aware rundown needs at least one slot") };
            Self::over(Slot::array())
        }
    }
}

impl<P: Platform, const N: usize> Default for CacheAwareRundown<P, [Slot; N]> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "alloc")]
impl<P: Platform> CacheAwareRundown<P> {
    /// An open object with `slots` slots on the heap.
    ///
    /// # Panics
    /// If `slots` is zero. Allocation failure as for any box.
    #[must_use]
    pub fn boxed(slots: usize) -> Self {
        assert!(slots > 0, "a cache-aware rundown needs at least one slot");
        Self::over((0..slots).map(|_| Slot::new()).collect())
    }
}

impl<P: Platform, S: Slots> CacheAwareRundown<P, S> {
    /// An open object over the caller's slots.
    ///
    /// # Errors
    /// [`NoSlots`] if there are none.
    pub fn with_slots(slots: S) -> Result<Self, NoSlots> {
        if slots.as_ref().is_empty() {
            return Err(NoSlots);
        }
        let rundown = Self::over(slots);
        // The slots may have served another object before.
        rundown.unsweep();
        Ok(rundown)
    }

    const_unless_model! {
        fn over(slots: S) -> Self {
            Self { switch: Switch::new(), central: Central::new(), slots, platform: PhantomData }
        }
    }

    /// The slot that the hint points to; any hint will do (S11).
    #[inline]
    fn slot(&self) -> &Slot {
        let slots = self.slots.as_ref();
        let hint = P::cpu_hint();
        // The division is for wrong hints only.
        let index = if hint < slots.len() {
            hint
        } else {
            hint % slots.len()
        };
        &slots[index]
    }
}

impl<P: Platform, S: Slots> Rundown for CacheAwareRundown<P, S> {}

impl<P: Platform, S: Slots> Kind for CacheAwareRundown<P, S> {
    #[inline]
    fn take_reference(&self) -> Result<(), Refused> {
        // The slot has the last word: the object may close between the two. If it did, what was
        // added to the slot has no meaning and stays there: see `Slot`.
        if self.switch.is_open() && self.slot().add_one().counts() {
            Ok(())
        } else {
            Err(Refused::Closed)
        }
    }

    #[inline]
    unsafe fn drop_reference(&self) {
        if self.slot().take_one().counts() {
            // Its last touch was the slot (S3): the sweep has yet to come, and will find it.
            return;
        }
        // The sweep has come and put this reference on the central count. The last touch is there
        // (S3).
        if self.central.take_one().is_drained() {
            P::wake_waiters();
        }
    }

    fn look(&self) -> Snapshot {
        self.switch.look(|| self.central.is_drained())
    }

    fn nothing_held(&self) -> bool {
        self.central.is_drained()
    }

    fn step(&self, from: Snapshot, to: Phase) -> bool {
        self.switch.step(from, to)
    }

    fn sweep(&self) {
        // Only now, after the switch: a slot that refuses must find every later acquire refused
        // (S1).
        let held = self.slots.as_ref().iter().map(Slot::close).sum();
        if self.central.swept(held).is_drained() {
            P::wake_waiters();
        }
    }

    fn unsweep(&self) {
        // Before the first slot opens: protection that one slot grants may be released on a slot
        // still closed, that is to say here.
        self.central.bias();
        for slot in self.slots.as_ref() {
            slot.open();
        }
    }

    fn settle(&self, cycle: Cycle, phase: Phase) {
        self.switch.settle(cycle, phase);
    }

    fn next(cycle: Cycle) -> Cycle {
        Switch::next(cycle)
    }

    fn wake_waiters() {
        P::wake_waiters();
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use core::mem::offset_of;

    use super::*;

    struct Alone;

    impl Platform for Alone {
        fn cpu_hint() -> usize {
            0
        }

        fn wake_waiters() {}
    }

    /// In bytes: a pair of cache lines, see [`Slot`].
    const STRIDE: usize = 128;

    #[test]
    fn what_users_write_is_on_no_line_that_others_use() {
        type Two = CacheAwareRundown<Alone, [Slot; 2]>;
        let places = [
            offset_of!(Two, switch),
            offset_of!(Two, central),
            offset_of!(Two, slots),
        ];
        for (index, place) in places.iter().enumerate() {
            for other in &places[index + 1..] {
                assert!(place.abs_diff(*other) >= STRIDE, "{places:?}");
            }
        }
        assert_eq!(align_of::<Two>(), STRIDE);
        assert_eq!(size_of::<Two>(), 4 * STRIDE);
    }
}
