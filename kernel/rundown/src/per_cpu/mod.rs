//! The per-CPU kind: plain counters, without a lock prefix, and a barrier when the object closes.

mod counter_map;
// ELF, because of its section of sequences.
#[cfg(all(
    target_arch = "x86_64",
    not(any(windows, target_os = "uefi", target_vendor = "apple", rundown_loom))
))]
pub mod gs;
mod platform;
pub mod restart;
mod rounds;

use core::fmt;
use core::marker::PhantomData;

pub use self::counter_map::CounterMap;
pub use self::platform::{CounterId, PerCpu, Unavailable};
pub use self::rounds::{Answers, Round, Rounds};
use crate::batch::Closer;
use crate::central::Central;
use crate::counts::RacyCounts;
use crate::lifecycle::{Inside, Kind};
use crate::platform::ObjectId;
use crate::rundown::Rundown;
use crate::state::{Misuse, Refused, State};
use crate::switch::Switch;
use crate::word::{Era, Phase, Snapshot};

/// Rundown protection with a plain counter per CPU: acquire and release are a test and one
/// *unlocked* add, together a sequence that restarts if it is interrupted.
///
/// The fastest kind to use, and the one that costs most to close: [`close`](Rundown::close) waits
/// for a [barrier](PerCpu::barrier), so it is legal only where a barrier is. Closing many objects
/// together costs [one barrier](Rundown::close_all).
///
/// The object takes one cache line, and 8 bytes on every CPU, packed densely with those of other
/// objects: the lines of one CPU's counters are written by that CPU alone while objects are in use.
/// (Who opens an object again clears the counters that its last life has left other than zero.)
///
/// # Capacity
/// How many more protections than were released on a CPU can be taken there: 2^61, as
/// [`Slot::CAPACITY`](crate::Slot::CAPACITY). Only [`acquire_many`](Rundown::acquire_many) and
/// [`release_many`](Rundown::release_many) of more than one look at it: one at a time, every
/// nanosecond, 2^61 take 73 years.
// All on one line: while the object is open, nothing here is written.
#[repr(align(64))]
pub struct PerCpuRundown<P: PerCpu> {
    /// Read by every acquire and release.
    switch: Switch,
    counter: CounterId,
    /// Written while the object is closed: by late releases, which read the switch as well.
    central: Central,
    closer: Closer,
    platform: PhantomData<fn() -> P>,
}

impl<P: PerCpu> PerCpuRundown<P> {
    /// An open object.
    ///
    /// # Errors
    /// [`Unavailable`] if the system has no counter for it. Where there are none at all,
    /// [`CacheAwareRundown`](crate::CacheAwareRundown) is the next best.
    pub fn new() -> Result<Self, Unavailable> {
        Self::in_phase(Phase::Open)
    }

    /// An object that is born closed: run down, until it is [opened](Rundown::open) (S9).
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn closed() -> Result<Self, Unavailable> {
        Self::in_phase(Phase::RunDown)
    }

    fn in_phase(phase: Phase) -> Result<Self, Unavailable> {
        Ok(Self {
            switch: Switch::new(phase),
            counter: P::allocate()?,
            central: Central::new(),
            closer: Closer::new(),
            platform: PhantomData,
        })
    }

    /// How much one CPU's counter may count, either way.
    const MOST: i64 = 1 << 61;

    /// Adds to the running CPU's counter, if the object is open.
    #[inline]
    fn add(&self, n: i64) -> bool {
        // SAFETY: the counter is this object's, and so is the switch, which is closed and followed
        // by a barrier before anybody relies on the counter (`sweep`) or gives it back (`drop`).
        unsafe { P::add_if_open(&self.switch, self.counter, n) }
    }

    /// Whether the running CPU's counter would stay within its range. Another CPU's, if the thread
    /// moves: that is far from the limit, or close enough to it to be told.
    #[cold]
    fn has_room(&self, n: i64) -> bool {
        // SAFETY: the counter is this object's.
        let count = unsafe { P::racy_own_count(self.counter) };
        (-Self::MOST..=Self::MOST).contains(&count.saturating_add(n))
    }

    fn clear_counters(&self) {
        for cpu in 0..P::cpus() {
            // SAFETY: the object is closed, and swept: nobody adds until it opens.
            unsafe { P::clear(self.counter, cpu) };
        }
    }
}

impl<P: PerCpu> Rundown for PerCpuRundown<P> {}

impl<P: PerCpu> Kind for PerCpuRundown<P> {
    type Platform = P;

    #[inline]
    fn take_references(&self, n: u32) -> Result<(), Refused> {
        if n > 1 && self.switch.is_open() && !self.has_room(n.into()) {
            return Err(Refused::Full);
        }
        if self.add(n.into()) {
            Ok(())
        } else {
            Err(Refused::Closed)
        }
    }

    #[inline]
    unsafe fn drop_references(&self, n: u32) {
        if n > 1 && self.switch.is_open() && !self.has_room(-i64::from(n)) {
            let object = ObjectId::of(self);
            return P::misuse(&Misuse::OutOfRange { object });
        }
        // If it is added, that was the last touch of the object (S3): the sweep has yet to come, and
        // will find it.
        if !self.add(-i64::from(n)) {
            self.release_late(n);
        }
    }

    fn look(&self) -> Snapshot {
        self.switch.look(|| self.central.state())
    }

    fn step(&self, from: Snapshot, to: Phase, _: Inside) -> bool {
        self.switch.step(from, to)
    }

    fn barrier(_: Inside) {
        P::barrier();
    }

    fn closer(&self) -> Option<&Closer> {
        Some(&self.closer)
    }

    fn sweep(&self, _: Inside) {
        // The barrier has been: whoever found the switch open has added, and whoever has not will
        // find it closed.
        let held = (0..P::cpus())
            // SAFETY: the counter is this object's.
            .map(|cpu| i128::from(unsafe { P::count(self.counter, cpu) }))
            .sum();
        self.central.sweep::<P>(ObjectId::of(self), held);
    }

    fn revive(&self, _: Snapshot, _: Inside) -> bool {
        // From here on the object cannot drain, and nobody but this caller may write the switch: it
        // is closed, neither drained nor to be cancelled.
        if !self.central.bias_while_held() {
            return false;
        }
        self.clear_counters();
        self.switch.revive();
        true
    }

    fn unsweep(&self, _: Inside) {
        // Biased already only if the object was born closed, and then nobody was granted anything.
        let stray = self.central.stray();
        self.central.bias();
        self.clear_counters();
        if stray > 0 {
            P::misuse(&Misuse::OverRelease {
                object: ObjectId::of(self),
                held: 0,
                released: stray,
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
        let in_counters = self.counts().fold(0, i64::wrapping_add);
        match self.switch.look(|| State::Closing).state {
            State::Open | State::Closing => self.central.racy_held(in_counters),
            _ => 0,
        }
    }

    fn counts(&self) -> RacyCounts<'_> {
        // SAFETY: the counter is this object's, which is borrowed for as long as the counts.
        unsafe { RacyCounts::per_cpu::<P>(self.counter) }
    }
}

impl<P: PerCpu> PerCpuRundown<P> {
    /// A release of `n` that found the object closed. Its last touch is on the central count (S3).
    #[cold]
    fn release_late(&self, n: u32) {
        self.central.release::<P>(ObjectId::of(self), n);
    }
}

impl<P: PerCpu> Drop for PerCpuRundown<P> {
    fn drop(&mut self) {
        #[cfg(feature = "diagnosis")]
        crate::diagnosis::dropped(self);
        // SAFETY: this object's, and nobody uses the object any more.
        unsafe { P::free(self.counter) };
    }
}

impl<P: PerCpu> fmt::Debug for PerCpuRundown<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerCpuRundown")
            .field("state", &self.state())
            .field("held", &self.held())
            .field("counts", &self.counts())
            .finish()
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "std")]
    fn what_users_touch_is_one_cache_line() {
        type Object = PerCpuRundown<crate::HostPlatform>;
        assert_eq!((size_of::<Object>(), align_of::<Object>()), (64, 64));
    }
}
