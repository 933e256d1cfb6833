//! What a sequence reads: [`PerCpuGate`].

use core::mem::offset_of;

use crate::closer::Closer;
use crate::completion::CompletionSlot;
use crate::counter_id::CounterId;
use crate::gate::{Counts, Gate};
use crate::primitive::{AtomicUsize, Ordering, const_unless_model};
use crate::shared::SharedCount;

/// What a sequence reads: the state word and, [right behind it](PerCpuGate::COUNTER_OFFSET), the name of the
/// counter.
pub type PerCpuGate = Gate<PerCpuCounts>;

/// What an object of the per-CPU variant counts by.
#[repr(C)]
pub struct PerCpuCounts {
    /// Never changes once it names a counter.
    counter: AtomicUsize,
    pub(crate) shared: SharedCount,
    pub(crate) closer: Closer,
}

impl PerCpuCounts {
    const NO_COUNTER: usize = usize::MAX;

    const_unless_model! {
        pub(crate) fn new() -> Self {
            Self {
                counter: AtomicUsize::new(Self::NO_COUNTER),
                shared: SharedCount::new(),
                closer: Closer::new(),
            }
        }
    }

    /// The counter, if there is one yet.
    #[inline]
    pub(crate) fn counter(&self) -> Option<CounterId> {
        // Acquire: pairs with the Release in `name`: a caller that finds a counter which another one has
        // just allocated sees its zeroes. (Users need no more than the open gate, which came later.)
        match self.counter.load(Ordering::Acquire) {
            Self::NO_COUNTER => None,
            counter => Some(CounterId::new(counter)),
        }
    }

    /// Names the counter; `false` if it has one already.
    pub(crate) fn name(&self, counter: CounterId) -> bool {
        // Release: pairs with the Acquire in `counter`. A failure is another caller's success.
        self.counter
            .compare_exchange(
                Self::NO_COUNTER,
                counter.get(),
                Ordering::Release,
                Ordering::Relaxed,
            )
            .is_ok()
    }
}

impl PerCpuGate {
    /// For assembly: how many bytes behind [`as_ptr`](Gate::as_ptr) the counter's name stands.
    pub const COUNTER_OFFSET: usize =
        offset_of!(PerCpuGate, counts) + offset_of!(PerCpuCounts, counter);

    /// The counter, for platforms whose sequence is not assembly. The caller has found the gate
    /// [open](Gate::is_open).
    ///
    /// # Panics
    /// If there is none: the gate has never been open.
    #[inline]
    pub fn counter(&self) -> CounterId {
        self.counts.counter().expect("an open gate has a counter")
    }
}

impl Counts for PerCpuCounts {
    fn shared(&self) -> Option<&SharedCount> {
        Some(&self.shared)
    }

    fn completion(&self) -> &CompletionSlot {
        &self.shared.completion
    }
}
