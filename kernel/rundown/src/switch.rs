//! The read-mostly word that every acquire looks at first: phase and era. For the kinds that count per
//! CPU.

use core::fmt;

use crate::primitive::{AtomicU64, Ordering, const_unless_model};
use crate::state::State;
use crate::word::{Era, Phase, Snapshot, Word};

/// The phase and the era of an object; no count. What every acquire looks at first.
///
/// Public for those who implement a platform with [per-CPU counters](crate::PerCpu).
pub struct Switch(AtomicU64);

/// 40 bits of lives: at one every microsecond they come round in 12 days.
type SwitchWord = Word<0, 40, 22>;

impl Switch {
    const_unless_model! {
        pub(crate) fn new(phase: Phase) -> Self {
            Self(AtomicU64::new(SwitchWord::new(phase).0))
        }
    }

    /// For assembly: the object is open if and only if none of these bits is set in the byte at
    /// [`as_ptr`](Self::as_ptr). (The lowest byte: where this is used, it comes first.)
    pub const NOT_OPEN: u8 = 0b11;

    /// Where the switch is, for assembly that reads it. Nobody may write there.
    #[cfg(not(rundown_loom))]
    #[inline]
    #[must_use]
    pub const fn as_ptr(&self) -> *const u64 {
        self.0.as_ptr()
    }

    /// Whether the object is open. It may close at any time.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        // Acquire: pairs with the Release in `settle`; whoever sees the object re-opened finds
        // every slot open, so that a refusal means closed.
        SwitchWord::at(self.0.load(Ordering::Acquire)).phase() == Phase::Open
    }

    /// The life cycle; `closed` reads the central count.
    pub(crate) fn look(&self, closed: impl FnOnce() -> State) -> Snapshot {
        // Acquire: pairs with the Release in `settle`; who sees a life sees its biased central
        // count, not the zero of the life before. And with the Release in `step`: who sees a claim
        // or a completion sees what it followed.
        SwitchWord::at(self.0.load(Ordering::Acquire)).snapshot(closed)
    }

    /// Changes the phase, if the word is still the one in `from`.
    pub(crate) fn step(&self, from: Snapshot, to: Phase) -> bool {
        let next = SwitchWord::at(from.word).with_phase(to);
        // Release: pairs with the Acquire in `look`: the owner's steps, by whichever thread, happen
        // one after the other (S8). No Acquire: `look` has acquired this word. A failure is
        // followed by another `look`.
        self.0
            .compare_exchange(from.word, next.0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// A cancel: opens the object in the next era. The caller is the only one who may write.
    pub(crate) fn revive(&self) {
        // Relaxed: pairs with nothing itself; the caller has acquired this era's closing by the
        // central count (`Central::bias_while_held`), and nobody else writes until it opens.
        let closed = SwitchWord::at(self.0.load(Ordering::Relaxed));
        self.settle(closed.revived());
    }

    /// The end of a claim: opens the object in the next life.
    pub(crate) fn settle_open(&self, era: Era) {
        self.settle(SwitchWord::reborn(era));
    }

    /// The end of a claim: the object is run down.
    pub(crate) fn settle_run_down(&self, era: Era) {
        self.settle(SwitchWord::of(era, Phase::RunDown));
    }

    /// A store will do: nobody else writes a claimed or revived word.
    fn settle(&self, word: SwitchWord) {
        // Release: pairs with the Acquire in `is_open` and `look`.
        self.0.store(word.0, Ordering::Release);
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "open" } else { "not open" })
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    /// With whatever stands above the phase in the same byte.
    #[test]
    fn the_byte_for_assembly_says_whether_it_is_open() {
        for phase in [Phase::Open, Phase::Closed, Phase::RunDown, Phase::Claimed] {
            for cancels in 0..1 << 6 {
                let era = Era { life: 0, cancels };
                let switch = Switch(AtomicU64::new(SwitchWord::of(era, phase).0));
                // SAFETY: the switch is borrowed, and nobody writes it.
                let word = unsafe { switch.as_ptr().read() };
                let is_open = word.to_le_bytes()[0] & Switch::NOT_OPEN == 0;
                assert_eq!(is_open, phase == Phase::Open);
                assert_eq!(switch.is_open(), is_open);
            }
        }
    }
}
