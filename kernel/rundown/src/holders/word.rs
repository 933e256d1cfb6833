//! The word that says what an entry of the table is at present.

/// `count | generation | phase`, from the highest bit to the lowest: 32, 30 and 2 bits.
///
/// The generation rises by one with each claim of the entry, so that a reader does not mix two
/// holders, unless there were exactly 2^30 claims of one entry meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EntryWord(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryPhase {
    Free = 0,
    /// A caller is filling in the rest of the entry.
    Claimed = 1,
    /// A guard's.
    Guard = 2,
    /// An acquire's without a guard.
    Raw = 3,
}

impl EntryWord {
    const PHASE: u64 = 0b11;
    const GENERATION_SHIFT: u32 = 2;
    const GENERATION: u64 = ((1 << 30) - 1) << Self::GENERATION_SHIFT;
    const COUNT_SHIFT: u32 = 32;

    pub(super) const fn phase(self) -> EntryPhase {
        match self.0 & Self::PHASE {
            0 => EntryPhase::Free,
            1 => EntryPhase::Claimed,
            2 => EntryPhase::Guard,
            _ => EntryPhase::Raw,
        }
    }

    pub(super) const fn is_listed(self) -> bool {
        matches!(self.phase(), EntryPhase::Guard | EntryPhase::Raw)
    }

    pub(super) const fn count(self) -> u32 {
        (self.0 >> Self::COUNT_SHIFT) as u32
    }

    /// The word of a free entry, claimed.
    pub(super) const fn claimed(self) -> Self {
        let next = (self.0 + (1 << Self::GENERATION_SHIFT)) & Self::GENERATION;
        Self(next | EntryPhase::Claimed as u64)
    }

    /// The same generation in another phase, counting `count`.
    pub(super) const fn with(self, phase: EntryPhase, count: u32) -> Self {
        let count = (count as u64) << Self::COUNT_SHIFT;
        Self(count | self.0 & Self::GENERATION | phase as u64)
    }

    /// Whether both are of one generation and phase: of the same holder, if that is listed.
    pub(super) const fn same_holder(self, other: Self) -> bool {
        (self.0 ^ other.0) & (Self::GENERATION | Self::PHASE) == 0
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let mut word = EntryWord::default();
        assert_eq!((word.phase(), word.count()), (EntryPhase::Free, 0));
        for count in [0, 1, u32::MAX] {
            for phase in [EntryPhase::Guard, EntryPhase::Raw] {
                let claimed = word.claimed();
                assert_eq!((claimed.phase(), claimed.count()), (EntryPhase::Claimed, 0));
                assert!(!claimed.same_holder(word));
                let listed = claimed.with(phase, count);
                assert_eq!((listed.phase(), listed.count()), (phase, count));
                assert!(listed.same_holder(listed.with(phase, 7)));
                assert!(!listed.same_holder(word.with(phase, count)));
                word = listed.with(EntryPhase::Free, 0);
                assert!(!word.same_holder(listed));
                assert_eq!((word.phase(), word.count()), (EntryPhase::Free, 0));
            }
        }
    }

    #[test]
    fn the_generation_wraps_within_its_bits() {
        let last = EntryWord(EntryWord::GENERATION);
        let claimed = last.claimed();
        assert_eq!(claimed, EntryWord(EntryPhase::Claimed as u64));
        assert!(!claimed.same_holder(last.with(EntryPhase::Claimed, 0)));
    }
}
