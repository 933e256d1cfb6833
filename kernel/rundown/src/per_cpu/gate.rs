//! What a sequence reads: [`PerCpuGate`].

use core::fmt;
use core::mem::offset_of;

use crate::gate::Gate;
use crate::ids::CounterId;
use crate::primitive::{AtomicUsize, Ordering, const_unless_model};
use crate::shared::SharedCount;
use crate::word::Word;

/// What a sequence reads: the state word and, [behind it](Self::COUNTER_OFFSET), the name of the counter.
///
/// An object of the per-CPU variant begins like this.
#[repr(C)]
pub struct PerCpuGate {
    gate: Gate<SharedCount>,
    counter: CounterCell,
}

impl PerCpuGate {
    /// For assembly: the object is open if and only if none of these bits is set in the byte at
    /// [`as_ptr`](Self::as_ptr). (The lowest byte: where this is used, it comes first.)
    pub const NOT_OPEN: u8 = Word::PHASE as u8;

    /// For assembly: how many bytes behind [`as_ptr`](Self::as_ptr) the counter's name stands.
    pub const COUNTER_OFFSET: usize = offset_of!(Self, counter);

    /// Where the state word is, for assembly that reads it. Nothing else may write there.
    #[cfg(not(rundown_loom))]
    #[inline]
    pub const fn as_ptr(&self) -> *const u64 {
        self.gate.word().as_ptr()
    }

    /// Whether the object is open. It may close at any time.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// The counter, for platforms whose sequence is not assembly. The caller has found the gate
    /// [open](Self::is_open).
    ///
    /// # Panics
    /// If there is none: the gate has never been open.
    #[inline]
    pub fn counter(&self) -> CounterId {
        self.counter.get().expect("an open gate has a counter")
    }
}

impl fmt::Debug for PerCpuGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "open" } else { "not open" })
    }
}

/// Where an object names its counter. That never changes once it names one.
pub(super) struct CounterCell(AtomicUsize);

impl CounterCell {
    const NO_COUNTER: usize = usize::MAX;

    const_unless_model! {
        pub(super) fn new() -> Self {
            Self(AtomicUsize::new(Self::NO_COUNTER))
        }
    }

    /// The counter, if there is one yet.
    #[inline]
    pub(super) fn get(&self) -> Option<CounterId> {
        // Acquire: pairs with the Release in `name`: a caller that finds a counter which another one has
        // just allocated sees its zeroes. (Users need no more than the open gate, which came later.)
        match self.0.load(Ordering::Acquire) {
            Self::NO_COUNTER => None,
            counter => Some(CounterId::new(counter)),
        }
    }

    /// Names the counter; `false` if it has one already.
    pub(super) fn name(&self, counter: CounterId) -> bool {
        let (none, counter) = (Self::NO_COUNTER, counter.get());
        // Release: pairs with the Acquire in `get`. A failure is another caller's success.
        let named = (self.0).compare_exchange(none, counter, Ordering::Release, Ordering::Relaxed);
        named.is_ok()
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;
    use crate::word::{Epoch, Layout, Phase};

    /// With whatever stands above the phase in the same byte.
    #[test]
    fn the_byte_for_assembly_says_whether_it_is_open() {
        let phases = [Phase::Open, Phase::Closed, Phase::RunDown, Phase::Claimed];
        for phase in phases {
            for cancels in 0..1 << 6 {
                let epoch = Epoch {
                    generation: 0,
                    cancels,
                };
                let mut gate = Gate::new(SharedCount::new());
                gate.begin_with(Word::of(Layout::SHARDED, epoch, phase).bits);
                let counter = CounterCell::new();
                let gate = PerCpuGate { gate, counter };
                // SAFETY: the gate is borrowed, and nothing writes it.
                let word = unsafe { gate.as_ptr().read() };
                let is_open = word.to_le_bytes()[0] & PerCpuGate::NOT_OPEN == 0;
                assert_eq!(is_open, phase == Phase::Open);
                assert_eq!(gate.is_open(), is_open);
            }
        }
    }
}
