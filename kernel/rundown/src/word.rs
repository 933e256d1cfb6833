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
/// life for another, and then only waits for the drain of that one; the word proves by itself
/// whether it is drained. One who looks away for exactly 2^CANCELS cancels of one life, the last of
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
