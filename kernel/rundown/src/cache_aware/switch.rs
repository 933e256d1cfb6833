//! The read-mostly word that every acquire looks at first: phase and cycle.

use crate::primitive::{AtomicU64, Ordering, const_unless_model};
use crate::state::{Cycle, Phase, Snapshot};

/// `cycle << 2 | phase`. A cycle of 62 bits does not come round again: at one re-init every
/// nanosecond that takes 146 years.
pub(super) struct Switch(AtomicU64);

impl Switch {
    const_unless_model! {
        pub(super) fn new() -> Self {
            Self(AtomicU64::new(Phase::Open as u64))
        }
    }

    /// The first question of every acquire.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        // Acquire: pairs with the Release in `settle`; whoever sees the object re-opened finds
        // every slot open, so that a refusal means closed.
        Phase::of(self.0.load(Ordering::Acquire)) == Phase::Open
    }

    /// The life cycle; `drained` reads the central count.
    pub(super) fn look(&self, drained: impl FnOnce() -> bool) -> Snapshot {
        // Acquire: pairs with the Release in `settle`; who sees a cycle sees its biased central
        // count, not the zero of the cycle before. And with the Release in `step`: who sees a claim
        // or a completion sees what it followed.
        let word = self.0.load(Ordering::Acquire);
        Snapshot {
            state: Phase::of(word).state(drained),
            cycle: Cycle(word >> Phase::BITS),
            word,
        }
    }

    /// Changes the phase, if the word is still the one in `from`.
    pub(super) fn step(&self, from: Snapshot, to: Phase) -> bool {
        let next = from.word & !Phase::MASK | to as u64;
        // Release: pairs with the Acquire in `look`: the owner's steps, by whichever thread, happen
        // one after the other (S8). No Acquire: `look` has acquired this word. A failure is
        // followed by another `look`.
        self.0
            .compare_exchange(from.word, next, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Ends a claim. A store will do: nobody else writes a claimed word.
    pub(super) fn settle(&self, cycle: Cycle, phase: Phase) {
        // Release: pairs with the Acquire in `is_open` and `look`.
        self.0
            .store(cycle.0 << Phase::BITS | phase as u64, Ordering::Release);
    }

    /// The cycle after `cycle`.
    pub(super) fn next(cycle: Cycle) -> Cycle {
        Cycle((cycle.0 + 1) & (u64::MAX >> Phase::BITS))
    }
}
