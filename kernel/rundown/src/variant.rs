//! The object, [`Rundown`], and what a variant adds to it: [`Variant`].

use crate::gate::{Counts, Gate};
use crate::platform::Platform;
use crate::state::{IllegalContext, Refused, Unavailable};
use crate::word::Word;

/// Rundown protection. All variants keep one contract: [S1 to S13](crate#what-it-promises).
///
/// Users: [`try_acquire`](Self::try_acquire). Owner: [`wait`](Self::wait), then free the guarded
/// thing, or [`reinit`](Self::reinit). The variants, and their constructors:
/// [`PlainRundown`](crate::PlainRundown), [`CacheAwareRundown`](crate::CacheAwareRundown) and
/// [`PerCpuRundown`](crate::PerCpuRundown).
// In this order in memory: slots must come last, since their number may be known only at run time,
// and what every acquire reads stands together.
#[repr(C)]
pub struct Rundown<V: Variant + ?Sized> {
    pub(crate) isolation: [V::Isolation; 0],
    pub(crate) gate: Gate<V::Counts>,
    pub(crate) variant: V,
}

/// A variant of rundown protection. Sealed; its methods are parts of the steps of [`Rundown`].
pub trait Variant: Sealed + Send + Sync {
    /// The system it runs on.
    type Platform: Platform;

    /// Its name in output.
    #[doc(hidden)]
    const NAME: &'static str;

    /// How a closed object counts.
    #[doc(hidden)]
    type Counts: Counts;

    /// Of no size, and as aligned as the object is to be.
    #[doc(hidden)]
    type Isolation: Isolation;

    /// [`Rundown::acquire_many`].
    #[doc(hidden)]
    fn acquire(this: &Rundown<Self>, n: u32) -> Result<(), Refused>;

    /// [`Rundown::release_many`].
    ///
    /// # Safety
    /// As there.
    #[doc(hidden)]
    unsafe fn release(this: &Rundown<Self>, n: u32);

    /// The counts of the slots: [`Rundown::racy_counts`]. None until a lazy object has a counter.
    #[doc(hidden)]
    fn racy_counts(this: &Rundown<Self>) -> impl ExactSizeIterator<Item = i64> + Clone;

    /// Whether [`barrier`](Self::barrier) is legal in this context.
    #[doc(hidden)]
    fn check_barrier() -> Result<(), IllegalContext> {
        Ok(())
    }

    /// Between the step to closed and `drain_slots`: returns when every acquire and release that
    /// was in progress either has counted, or will see which objects were closed before this call.
    #[doc(hidden)]
    fn barrier() {}

    /// Makes sure that the object can be opened.
    #[doc(hidden)]
    fn prepare(_: &Rundown<Self>) -> Result<(), Unavailable> {
        Ok(())
    }

    /// Closes the slots, and returns what they counted.
    ///
    /// # Safety
    /// The caller has just closed the object, and there has been a barrier.
    #[doc(hidden)]
    unsafe fn drain_slots(_: &Rundown<Self>) -> i128 {
        0
    }

    /// Sets the slots to zero and opens them. Returns what was released of one born closed.
    ///
    /// # Safety
    /// The caller has the closed object to itself, and is about to open it.
    #[doc(hidden)]
    unsafe fn reset_slots(_: &Rundown<Self>) -> u64 {
        0
    }
}

/// The part that other crates cannot implement.
pub trait Sealed {}

impl<V: Variant> Rundown<V> {
    const_unless_model! {
        /// An open object, counting nothing.
        pub(crate) fn over(counts: V::Counts, variant: V) -> Self {
            Self { isolation: [], gate: Gate::new(counts), variant }
        }

        /// The same object, born closed: run down, until it is [opened](Self::open) (S9). For an
        /// object that has not been used yet: any protection is forgotten.
        #[must_use]
        pub fn born_closed(mut self) -> Self {
            self.gate.begin_with(Word::RUN_DOWN);
            self
        }
    }
}

/// [`Isolated`] or [`Compact`].
pub trait Isolation: Send + Sync {
    /// Where a value behind an object starts.
    #[doc(hidden)]
    type Start: Send + Sync;
    /// The same for an object of the per-CPU variant.
    #[doc(hidden)]
    type PerCpu: Isolation;
}

/// The cache line of the state word, which every acquire reads, holds nothing that anything else
/// may write: the object starts and ends at a multiple of 64 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Isolated;

/// A small object: a field after it shares the cache line of the state word, such as the value
/// of a [`Protected`](crate::Protected), so a use touches one line less. Only for values that users
/// do not write: each write would take the line that every acquire reads from all other CPUs.
///
/// For [`PerCpu`](crate::PerCpu), and for [`CacheAware`](crate::CacheAware) whose slots are
/// elsewhere: slots inside the object are on lines of their own anyway.
#[derive(Clone, Copy, Debug)]
pub struct Compact;

/// The plain variant's: every acquire writes its state word anyway.
impl Isolation for () {
    type Start = ();
    type PerCpu = ();
}

impl Isolation for Isolated {
    type Start = ();
    type PerCpu = Self;
}

impl Isolation for Compact {
    type Start = Isolated;
    type PerCpu = HalfLine;
}

/// An object as long as this lies in one cache line wherever it is: a compact per-CPU object.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct HalfLine;

impl Isolation for HalfLine {
    type Start = Isolated;
    type PerCpu = Self;
}
