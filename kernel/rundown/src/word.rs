//! The word that the life cycle is kept in: phase, era and, in the plain kind, the count.

use crate::state::{Refused, State};

/// The part of a [`State`] that a word stores. `Closing`, `Draining` and `Drained` are all `Closed`:
/// which of them it is, the count says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open = 0,
    Closed = 1,
    RunDown = 2,
    Claimed = 3,
}

/// Which stretch of open and closed time. Waiters remember the era that they closed, so that one who
/// looks late is not fooled by what came after (S6, S10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Era {
    /// One more after every drain that was followed by a re-init.
    pub(crate) life: u64,
    /// One more after every cancelled drain of this life.
    pub(crate) cancels: u64,
}

/// One look at the life cycle, and the very word that was seen, for a compare-and-swap against it.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    pub(crate) state: State,
    pub(crate) era: Era,
    pub(crate) word: u64,
}

/// `count | life | cancels | phase`, from the highest bit to the lowest: `COUNT`, `LIFE`, `CANCELS`
/// and 2 bits, 64 in all (fewer in tests).
///
/// `life` and `cancels` wrap. Only a waiter who looks away for exactly 2^LIFE lives can mistake one
/// life for another, and then only waits for the drain of that one; and only an owner who is
/// interrupted for exactly so many lives between its look and its step can take a later life for the
/// one it saw. One who looks away for exactly 2^CANCELS cancels of one life, the last of
/// them followed by a close, is not told of them and waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<const COUNT: u32, const LIFE: u32, const CANCELS: u32>(pub(crate) u64);

impl<const COUNT: u32, const LIFE: u32, const CANCELS: u32> Word<COUNT, LIFE, CANCELS> {
    /// The greatest count.
    pub(crate) const MAX_COUNT: u64 = ones(COUNT);

    const PHASE_BITS: u32 = 2;
    const LIFE_SHIFT: u32 = Self::PHASE_BITS + CANCELS;
    const COUNT_SHIFT: u32 = Self::LIFE_SHIFT + LIFE;

    /// The first word of an object.
    pub(crate) const fn new(phase: Phase) -> Self {
        Self(phase as u64)
    }

    /// The word with these bits.
    pub(crate) const fn at(bits: u64) -> Self {
        Self(bits)
    }

    /// With a count of zero.
    pub(crate) const fn of(era: Era, phase: Phase) -> Self {
        Self(
            (era.life & ones(LIFE)) << Self::LIFE_SHIFT
                | (era.cancels & ones(CANCELS)) << Self::PHASE_BITS
                | phase as u64,
        )
    }

    pub(crate) const fn phase(self) -> Phase {
        match self.0 & ones(Self::PHASE_BITS) {
            0 => Phase::Open,
            1 => Phase::Closed,
            2 => Phase::RunDown,
            _ => Phase::Claimed,
        }
    }

    pub(crate) const fn era(self) -> Era {
        Era {
            life: self.0 >> Self::LIFE_SHIFT & ones(LIFE),
            cancels: self.0 >> Self::PHASE_BITS & ones(CANCELS),
        }
    }

    pub(crate) const fn count(self) -> u64 {
        // In two steps: with no bits for a count the shift may be as wide as the word.
        (self.0 >> (Self::COUNT_SHIFT - 1)) >> 1 & ones(COUNT)
    }

    /// The same count and era in another phase.
    pub(crate) const fn with_phase(self, phase: Phase) -> Self {
        Self(self.0 & !ones(Self::PHASE_BITS) | phase as u64)
    }

    /// Open again, with the count as it is, in the era after a cancelled drain.
    pub(crate) const fn revived(self) -> Self {
        let era = Era {
            cancels: self.era().cancels + 1,
            ..self.era()
        };
        Self::of(era, Phase::Open).with_count(self.count())
    }

    /// In the era after a drain. The cancels of different lives are not compared.
    pub(crate) const fn reborn(era: Era) -> Self {
        let next = Era {
            life: era.life + 1,
            ..era
        };
        Self::of(next, Phase::Open)
    }

    /// `n` more protections.
    pub(crate) fn acquired(self, n: u32) -> Result<Self, Refused> {
        if !matches!(self.phase(), Phase::Open) {
            return Err(Refused::Closed);
        }
        match self.count() + u64::from(n) {
            count if count > Self::MAX_COUNT => Err(Refused::Full),
            count => Ok(self.with_count(count)),
        }
    }

    /// `n` fewer protections; `None` if so many are not held.
    pub(crate) fn released(self, n: u32) -> Option<Self> {
        let count = self.count().checked_sub(u64::from(n))?;
        Some(self.with_count(count))
    }

    /// Whether it is closed and counts nothing.
    pub(crate) const fn is_drained(self) -> bool {
        !matches!(self.phase(), Phase::Open) && self.count() == 0
    }

    pub(crate) fn snapshot(self, closed: impl FnOnce() -> State) -> Snapshot {
        Snapshot {
            state: match self.phase() {
                Phase::Open => State::Open,
                Phase::Closed => closed(),
                Phase::RunDown => State::RunDown,
                Phase::Claimed => State::Claimed,
            },
            era: self.era(),
            word: self.0,
        }
    }

    const fn with_count(self, count: u64) -> Self {
        let below = ones(Self::COUNT_SHIFT);
        Self(self.0 & below | (count << (Self::COUNT_SHIFT - 1)) << 1)
    }
}

/// So many low bits.
const fn ones(bits: u32) -> u64 {
    match bits {
        0 => 0,
        _ => u64::MAX >> (u64::BITS - bits),
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    /// What a [`Word<3, 2, 1>`] means. Eight bits: all of its values can be tried.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Model {
        count: u64,
        era: Era,
        phase: Phase,
    }

    type Narrow = Word<3, 2, 1>;
    const MOST: u64 = 7;
    const LIVES: u64 = 4;
    const CANCELS: u64 = 2;
    const PHASES: [Phase; 4] = [Phase::Open, Phase::Closed, Phase::RunDown, Phase::Claimed];

    /// Every word, and what it must mean.
    fn every() -> impl Iterator<Item = (Narrow, Model)> {
        (0..256).map(|bits: u64| {
            let model = Model {
                count: bits >> 5,
                era: Era {
                    life: bits >> 3 & 3,
                    cancels: bits >> 2 & 1,
                },
                phase: PHASES[(bits & 3) as usize],
            };
            (Narrow::at(bits), model)
        })
    }

    fn meaning(word: Narrow) -> Model {
        assert!(word.0 < 256, "{word:?} has bits outside");
        Model {
            count: word.count(),
            era: word.era(),
            phase: word.phase(),
        }
    }

    #[test]
    fn a_word_means_its_fields() {
        for (word, model) in every() {
            assert_eq!(meaning(word), model);
            let empty = Model { count: 0, ..model };
            assert_eq!(meaning(Narrow::of(model.era, model.phase)), empty);
        }
        for phase in PHASES {
            let era = Era {
                life: 0,
                cancels: 0,
            };
            let new = Model {
                count: 0,
                era,
                phase,
            };
            assert_eq!(meaning(Narrow::new(phase)), new);
        }
        assert_eq!(Narrow::MAX_COUNT, MOST);
    }

    #[test]
    fn acquiring_adds_all_or_nothing() {
        for (word, model) in every() {
            for n in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, u32::MAX] {
                let count = model.count + u64::from(n);
                let expected = match model.phase {
                    Phase::Open if count <= MOST => Ok(Model { count, ..model }),
                    Phase::Open => Err(Refused::Full),
                    _ => Err(Refused::Closed),
                };
                assert_eq!(word.acquired(n).map(meaning), expected, "{model:?} + {n}");
            }
        }
    }

    #[test]
    fn releasing_takes_no_more_than_there_is() {
        for (word, model) in every() {
            for n in [0, 1, 2, 3, 4, 5, 6, 7, 8, u32::MAX] {
                let left = model.count.checked_sub(u64::from(n));
                let expected = left.map(|count| Model { count, ..model });
                assert_eq!(word.released(n).map(meaning), expected, "{model:?} - {n}");
            }
        }
    }

    #[test]
    fn a_change_of_phase_changes_nothing_else() {
        for (word, model) in every() {
            for phase in PHASES {
                assert_eq!(meaning(word.with_phase(phase)), Model { phase, ..model });
            }
        }
    }

    #[test]
    fn a_cancelled_drain_keeps_count_and_life() {
        for (word, model) in every() {
            let era = Era {
                cancels: (model.era.cancels + 1) % CANCELS,
                ..model.era
            };
            let open = Model {
                era,
                phase: Phase::Open,
                ..model
            };
            assert_eq!(meaning(word.revived()), open);
        }
    }

    #[test]
    fn the_next_life_is_another_and_starts_at_zero() {
        for (_, model) in every() {
            let life = (model.era.life + 1) % LIVES;
            let reborn = meaning(Narrow::reborn(model.era));
            assert_eq!((reborn.count, reborn.phase), (0, Phase::Open));
            assert_eq!(reborn.era.life, life);
        }
    }

    #[test]
    fn drained_is_closed_and_zero() {
        for (word, model) in every() {
            let drained = model.phase != Phase::Open && model.count == 0;
            assert_eq!(word.is_drained(), drained, "{model:?}");
        }
    }

    #[test]
    fn a_snapshot_asks_for_the_count_only_when_closed() {
        for (word, model) in every() {
            let mut asked = false;
            let seen = word.snapshot(|| {
                asked = true;
                State::Draining
            });
            let expected = match model.phase {
                Phase::Open => State::Open,
                Phase::Closed => State::Draining,
                Phase::RunDown => State::RunDown,
                Phase::Claimed => State::Claimed,
            };
            assert_eq!(
                (seen.state, seen.era, seen.word),
                (expected, model.era, word.0)
            );
            assert_eq!(asked, model.phase == Phase::Closed);
        }
    }

    /// The words in use fill all 64 bits; one of them has no count.
    #[test]
    fn full_words_are_not_mixed_up() {
        fn check<const COUNT: u32, const LIFE: u32, const CANCELS: u32>() {
            assert_eq!(COUNT + LIFE + CANCELS + 2, 64);
            let full = Word::<COUNT, LIFE, CANCELS>::at(u64::MAX);
            assert_eq!(full.count(), ones(COUNT));
            assert_eq!(
                (full.era().life, full.era().cancels),
                (ones(LIFE), ones(CANCELS))
            );
            assert_eq!(full.phase(), Phase::Claimed);
            let revived = full.revived();
            assert_eq!((revived.count(), revived.era().cancels), (ones(COUNT), 0));
            assert_eq!(revived.era().life, ones(LIFE));
            assert_eq!(
                Word::<COUNT, LIFE, CANCELS>::reborn(full.era()).era().life,
                0
            );
        }
        check::<28, 28, 6>();
        check::<0, 40, 22>();
    }
}
