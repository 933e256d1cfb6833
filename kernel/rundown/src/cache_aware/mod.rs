//! The cache-aware kind: a counter per CPU, each on cache lines of its own.

mod place;
mod slot;
mod storage;

use core::fmt;
use core::marker::PhantomData;

pub use self::place::PlaceError;
pub use self::slot::Slot;
use self::slot::SlotWord;
#[cfg(feature = "alloc")]
pub use self::storage::BoxError;
pub use self::storage::{NoSlots, Slots};
use crate::central::Central;
use crate::counts::RacyCounts;
use crate::lifecycle::{Inside, Kind};
use crate::platform::{ObjectId, Platform};
use crate::primitive::const_unless_model;
use crate::rundown::Rundown;
use crate::state::{Misuse, Refused, State};
use crate::switch::Switch;
use crate::word::{Era, Phase, Snapshot};

#[cfg(feature = "alloc")]
type DefaultSlots = alloc::boxed::Box<[Slot]>;

/// Rundown protection with a counter per CPU: users on different CPUs never write the same cache
/// line.
///
/// Acquire is one load and one atomic add on the CPU's own slot, release the add alone, both
/// wait-free. `S` is where the slots live: `[Slot; N]` inside the object, a `Box<[Slot]>` (feature
/// `alloc`, the default there), `&'static mut [Slot]`, memory of the caller's, or `[Slot]`: all in
/// one piece of the caller's memory, see [`place`](Self::place). One slot per CPU is best; with
/// fewer, CPUs share (S11).
// In this order in memory: the slots must come last, since their number may be known only at run
// time, and what every acquire reads stands together.
#[repr(C)]
pub struct CacheAwareRundown<
    P: Platform,
    #[cfg(feature = "alloc")] S: Slots + ?Sized = DefaultSlots,
    #[cfg(not(feature = "alloc"))] S: Slots + ?Sized,
> {
    /// Written by late releases, which must not disturb the readers of the switch.
    central: Alone<Central>,
    /// Read by every acquire, written only by owners: it shares its line with `slots` (a pointer
    /// that never changes, or an array with an alignment of its own), and with nothing that users
    /// write.
    switch: Switch,
    platform: PhantomData<fn() -> P>,
    slots: S,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Alone<T>(T);

impl<P: Platform, const N: usize> CacheAwareRundown<P, [Slot; N]> {
    const_unless_model! {
        /// An open object with its `N` slots inside. Zero slots do not compile:
        ///
        /// ```compile_fail,E0080
        /// # use rundown::{CacheAwareRundown, HostPlatform, Slot};
        /// let none = CacheAwareRundown::<HostPlatform, [Slot; 0]>::new();
        /// ```
        #[must_use]
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

impl<P: Platform, S: Slots> CacheAwareRundown<P, S> {
    /// An open object over the caller's slots.
    ///
    /// # Errors
    /// [`NoSlots`] if there are none.
    pub fn with_slots(slots: S) -> Result<Self, NoSlots> {
        if slots.as_ref().is_empty() {
            return Err(NoSlots);
        }
        // They may have served another object before.
        for slot in slots.as_ref() {
            let _ = slot.open();
        }
        Ok(Self::over(slots))
    }

    const_unless_model! {
        /// The same object, born closed: run down, until it is [opened](Rundown::open) (S9). For an
        /// object that nobody has used yet: what is held is forgotten.
        ///
        /// ```
        /// use rundown::{CacheAwareRundown, HostPlatform, Rundown, Slot};
        ///
        /// static LATER: CacheAwareRundown<HostPlatform, [Slot; 4]> =
        ///     CacheAwareRundown::new().born_closed();
        /// assert!(LATER.try_acquire().is_none());
        /// LATER.open().expect("born closed");
        /// assert!(LATER.try_acquire().is_some());
        /// ```
        #[must_use]
        pub fn born_closed(mut self) -> Self {
            self.switch = Switch::new(Phase::RunDown);
            self
        }
    }

    const_unless_model! {
        /// An open object over slots that count nothing.
        fn over(slots: S) -> Self {
            Self {
                central: Alone(Central::new()),
                switch: Switch::new(Phase::Open),
                platform: PhantomData,
                slots,
            }
        }
    }
}

impl<P: Platform, S: Slots + ?Sized> CacheAwareRundown<P, S> {
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

    /// An acquire of `n` that found the slot closed or full.
    #[cold]
    fn not_granted(&self, found: SlotWord<0>, n: u32) -> Refused {
        if found.is_closed() {
            // What it added has no meaning and stays there: see `Slot`.
            return Refused::Closed;
        }
        // It counts, though, so this caller holds `n`, and gives them back as any holder would.
        // SAFETY: the slot was open when they were added to it.
        unsafe { self.drop_references(n) };
        Refused::Full
    }

    /// A release of `n` that its slot, `found` so, did not count. Its last touch is on the central
    /// count (S3).
    #[cold]
    fn release_late(&self, found: SlotWord<0>, n: u32) {
        let object = ObjectId::of(self);
        if found.is_closed() {
            // The sweep has come and put these references on the central count.
            self.central.0.release::<P>(object, n);
        } else {
            P::misuse(&Misuse::OutOfRange { object });
        }
    }
}

impl<P: Platform, S: Slots + ?Sized> Rundown for CacheAwareRundown<P, S> {}

impl<P: Platform, S: Slots + ?Sized> Kind for CacheAwareRundown<P, S> {
    type Platform = P;

    #[inline]
    fn take_references(&self, n: u32) -> Result<(), Refused> {
        if !self.switch.is_open() {
            return Err(Refused::Closed);
        }
        // The slot has the last word: the object may close between the two.
        let found = self.slot().add(n);
        if found.grants() {
            Ok(())
        } else {
            Err(self.not_granted(found, n))
        }
    }

    #[inline]
    unsafe fn drop_references(&self, n: u32) {
        let found = self.slot().take(n);
        if !found.counts_release(n) {
            self.release_late(found, n);
        }
        // Otherwise its last touch was the slot (S3): the sweep has yet to come, and will find it.
    }

    fn look(&self) -> Snapshot {
        self.switch.look(|| self.central.0.state())
    }

    fn step(&self, from: Snapshot, to: Phase, _: Inside) -> bool {
        self.switch.step(from, to)
    }

    fn sweep(&self, _: Inside) {
        // Only now, after the switch: a slot that refuses must find every later acquire refused
        // (S1).
        let held = self
            .slots
            .as_ref()
            .iter()
            .map(|slot| i128::from(slot.close()))
            .sum();
        self.central.0.sweep::<P>(ObjectId::of(self), held);
    }

    fn revive(&self, _: Snapshot, _: Inside) -> bool {
        // From here on the object cannot drain, and nobody but this caller may write the switch: it
        // is closed, neither drained nor to be cancelled.
        if !self.central.0.bias_while_held() {
            return false;
        }
        for slot in self.slots.as_ref() {
            let _ = slot.open();
        }
        self.switch.revive();
        true
    }

    fn unsweep(&self, _: Inside) {
        // Before the first slot opens: protection that one slot grants may be released on a slot
        // still closed, that is to say here.
        self.central.0.bias();
        // A slot is still open only if the object was born closed, and then nobody was granted
        // anything.
        let stray: i64 = self
            .slots
            .as_ref()
            .iter()
            .map(|slot| slot.open())
            .filter(|before| !before.is_closed())
            .map(SlotWord::count)
            .fold(0, i64::wrapping_add);
        if stray < 0 {
            P::misuse(&Misuse::OverRelease {
                object: ObjectId::of(self),
                held: 0,
                released: stray.unsigned_abs(),
            });
        }
    }

    fn settle_open(&self, era: Era, _: Inside) {
        self.switch.settle_open(era);
    }

    fn settle_run_down(&self, era: Era, _: Inside) {
        self.switch.settle_run_down(era);
    }

    fn held(&self) -> i64 {
        let in_slots = self.counts().fold(0, i64::wrapping_add);
        match self.switch.look(|| State::Closing).state {
            State::Open | State::Closing => self.central.0.racy_held(in_slots),
            _ => 0,
        }
    }

    fn counts(&self) -> RacyCounts<'_> {
        RacyCounts::of(self.slots.as_ref())
    }
}

impl<P: Platform, S: Slots + ?Sized> fmt::Debug for CacheAwareRundown<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheAwareRundown")
            .field("state", &self.state())
            .field("held", &self.held())
            .field("slots", &self.slots.as_ref().len())
            .field("counts", &self.counts())
            .finish()
    }
}

#[cfg(feature = "diagnosis")]
impl<P: Platform, S: Slots + ?Sized> Drop for CacheAwareRundown<P, S> {
    fn drop(&mut self) {
        crate::diagnosis::dropped(self);
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use core::mem::offset_of;

    use super::*;

    struct Single;

    impl Platform for Single {
        fn cpu_hint() -> usize {
            0
        }

        fn wake_waiters(_: ObjectId) {}
    }

    /// In bytes: a pair of cache lines, see [`Slot`].
    const STRIDE: usize = 128;

    type Inside = CacheAwareRundown<Single, [Slot; 2]>;
    type Elsewhere = CacheAwareRundown<Single, &'static mut [Slot]>;

    #[test]
    fn what_users_write_is_on_no_line_that_others_use() {
        let places = [
            offset_of!(Inside, central),
            offset_of!(Inside, switch),
            offset_of!(Inside, slots),
        ];
        for (index, place) in places.iter().enumerate() {
            for other in &places[index + 1..] {
                assert!(place.abs_diff(*other) >= STRIDE, "{places:?}");
            }
        }
        assert_eq!(align_of::<Inside>(), STRIDE);
        assert_eq!(size_of::<Inside>(), 4 * STRIDE);
    }

    #[test]
    fn an_acquire_finds_the_switch_and_the_way_to_its_slot_on_one_line() {
        let places = [offset_of!(Elsewhere, switch), offset_of!(Elsewhere, slots)];
        assert_eq!(places[0] / 64, (places[1] + 15) / 64);
        assert_eq!(size_of::<Elsewhere>(), 2 * STRIDE);
    }
}
