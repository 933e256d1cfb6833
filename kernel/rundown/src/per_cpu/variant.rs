//! The per-CPU variant itself.

use core::marker::PhantomData;
use core::mem::offset_of;

use super::gate::{CounterCell, PerCpuGate, PerCpuPlatform};
use crate::shared::SharedCount;
use crate::state::{IllegalContext, Misuse, ObjectId, Refused, Unavailable};
use crate::variant::{Isolated, Isolation, Rundown, Sealed, Variant};
use crate::word::Word;

/// Rundown protection with a plain counter per CPU: acquire and release are a test and one
/// *unlocked* add, together a sequence that restarts if it is interrupted.
///
/// The cheapest variant to use, and the most expensive to close: [`close`](Rundown::close) waits
/// for a [barrier](PerCpuPlatform::barrier), so it is legal only where a barrier is. Closing many
/// objects together costs [one barrier](Rundown::close_all).
///
/// Only calls for several at once check the [capacity](crate#the-words) of a CPU's counter.
pub type PerCpuRundown<P> = Rundown<PerCpu<P>>;

/// The per-CPU variant: see [`PerCpuRundown`]. `A` is [`Isolated`] or [`Compact`](crate::Compact).
#[repr(C)]
pub struct PerCpu<P: PerCpuPlatform, A: Isolation = Isolated> {
    /// Where [`PerCpuGate`] says.
    counter: CounterCell,
    marker: PhantomData<fn() -> (P, A)>,
}

impl<P: PerCpuPlatform, A: Isolation> Rundown<PerCpu<P, A>> {
    /// An open object.
    ///
    /// # Errors
    /// [`Unavailable`] if the system has no counter for it. Then
    /// [`CacheAwareRundown`](crate::CacheAwareRundown) is the next best.
    pub fn new() -> Result<Self, Unavailable> {
        let mut object = Self::lazy();
        object.gate.begin_with(Word::OPEN);
        object.prepare()?;
        Ok(object)
    }

    const_unless_model! {
        /// An object that is born closed, without a counter as yet: for a static. Its first
        /// [`open`](Self::open) allocates one, or [`prepare`](Self::prepare) before that.
        ///
        /// ```
        /// use rundown::{HostPlatform, PerCpuRundown};
        ///
        /// static ROUTES: PerCpuRundown<HostPlatform> = PerCpuRundown::lazy();
        /// assert!(ROUTES.try_acquire().is_none());
        /// if ROUTES.prepare().is_ok() {
        ///     ROUTES.open().expect("prepared, and run down");
        ///     assert!(ROUTES.try_acquire().is_some());
        /// }
        /// ```
        pub fn lazy() -> Self {
            let variant = PerCpu {
                counter: CounterCell::new(),
                marker: PhantomData,
            };
            Self::over(SharedCount::new(), variant).born_closed()
        }
    }

    /// Allocates the counter of a [lazy](Self::lazy) object, unless it has one. Contexts:
    /// [`PerCpuPlatform::allocate`].
    ///
    /// # Errors
    /// [`Unavailable`] if the system has no counter for it; the object cannot be opened then.
    pub fn prepare(&self) -> Result<(), Unavailable> {
        if self.variant.counter.get().is_some() {
            return Ok(());
        }
        let counter = P::allocate()?;
        if !self.variant.counter.name(counter) {
            // SAFETY: allocated just now, and nothing knows of it.
            unsafe { P::free(counter) };
        }
        Ok(())
    }

    /// The gate as the platform knows it.
    fn gate(&self) -> &PerCpuGate {
        const {
            let counter = offset_of!(Self, variant) + offset_of!(PerCpu<P, A>, counter);
            assert!(offset_of!(Self, gate) == 0 && counter == PerCpuGate::COUNTER_OFFSET);
        }
        // SAFETY: the object begins with the same fields, at the same places.
        unsafe { &*(&raw const *self).cast::<PerCpuGate>() }
    }

    /// How much one CPU's counter may count, up or down.
    fn most() -> i64 {
        (SharedCount::MOST_IN_SLOTS / 2) >> P::cpus().next_power_of_two().trailing_zeros()
    }

    /// Adds to the running CPU's counter, if the object is open.
    #[inline]
    fn add(&self, n: i64) -> bool {
        // SAFETY: the counter is this object's, whose gate is closed and followed by a barrier
        // before anything relies on the counter (`drain_slots`). It is given back (`drop`) when
        // nothing can reach the object any more.
        unsafe { P::add_if_open(self.gate(), n) }
    }

    /// Whether the running CPU's counter has room for `n` more, or fewer. Another CPU's, if the
    /// thread moves: each has room for more than threads may add in between.
    #[cold]
    fn has_room(&self, n: i64) -> bool {
        // SAFETY: the counter is this object's.
        let count = |counter| unsafe { P::racy_own_count(counter) };
        let counted = self.variant.counter.get().map_or(0, count);
        let next = counted.saturating_add(n);
        // Down: all that may be held, and as much again that a cancel has carried over.
        let least = -2 * SharedCount::MOST_IN_SLOTS;
        if n > 0 { next <= Self::most() } else { next >= least }
    }
}

impl<P: PerCpuPlatform, A: Isolation> Sealed for PerCpu<P, A> {}

impl<P: PerCpuPlatform, A: Isolation> Variant for PerCpu<P, A> {
    type Platform = P;

    const NAME: &'static str = "per-CPU";

    type Counts = SharedCount;
    type Isolation = A::PerCpu;

    #[inline]
    fn acquire(this: &Rundown<Self>, n: u32) -> Result<(), Refused> {
        if n > 1 && this.gate.is_open() && !this.has_room(n.into()) {
            return Err(Refused::Full);
        }
        if this.add(n.into()) { Ok(()) } else { Err(Refused::Closed) }
    }

    #[inline]
    unsafe fn release(this: &Rundown<Self>, n: u32) {
        if n > 1 && this.gate.is_open() && !this.has_room(-i64::from(n)) {
            let object = ObjectId::of(this);
            return P::misuse(&Misuse::OutOfRange { object });
        }
        // If it is added, that was the last touch of the object (S3): the closer will find it.
        if !this.add(-i64::from(n)) {
            this.gate.counts.release::<P>(ObjectId::of(this), n);
        }
    }

    fn racy_counts(this: &Rundown<Self>) -> impl ExactSizeIterator<Item = i64> + Clone {
        let counter = this.variant.counter.get();
        let cpus = counter.map_or(0, |_| P::cpus());
        // SAFETY: the counter is this object's, and the CPU one of those that may have counted.
        let count = move |cpu| counter.map_or(0, |counter| unsafe { P::count(counter, cpu) });
        (0..cpus).map(count)
    }

    fn check_barrier() -> Result<(), IllegalContext> {
        P::check_barrier()
    }

    fn barrier() {
        P::barrier();
    }

    fn prepare(this: &Rundown<Self>) -> Result<(), Unavailable> {
        this.prepare()
    }

    unsafe fn drain_slots(this: &Rundown<Self>) -> i128 {
        // After the barrier: each add that found the gate open is done, all others find it closed.
        this.racy_counts().map(i128::from).sum()
    }

    unsafe fn reset_slots(this: &Rundown<Self>) -> u64 {
        if let Some(counter) = this.variant.counter.get() {
            for cpu in 0..P::cpus() {
                // SAFETY: the object is drained or being cancelled: nothing adds until it opens.
                unsafe { P::clear(counter, cpu) };
            }
        }
        0
    }
}

impl<P: PerCpuPlatform, A: Isolation> Drop for PerCpu<P, A> {
    fn drop(&mut self) {
        if let Some(counter) = self.counter.get() {
            // SAFETY: this object's, and the object is not used any more.
            unsafe { P::free(counter) };
        }
    }
}

#[cfg(all(test, feature = "std", not(rundown_loom)))]
mod tests {
    use super::*;
    use crate::host::HostPlatform;
    use crate::variant::Compact;

    #[test]
    fn what_users_touch_is_one_cache_line() {
        type Object = Rundown<PerCpu<HostPlatform>>;
        type Small = Rundown<PerCpu<HostPlatform, Compact>>;
        assert_eq!((size_of::<Object>(), align_of::<Object>()), (64, 64));
        assert_eq!((size_of::<Small>(), align_of::<Small>()), (32, 32));
    }
}
