//! The bits of the state word: phase, epoch and, in the plain variant, the count. The README,
//! "The words", draws them, and says what follows when generation and cancels wrap.
//!
//! In phase 3 nothing is held and no drain can be cancelled any more, so the field of the cancels
//! says more: run down, claimed or vacant.

use crate::state::{Refused, State};

/// The part of a [`State`] that the word itself says, with its bits. Whether a closed object is
/// `Closing`, `Draining` or `Drained`, the count says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open = 0,
    Closed = 1,
    /// Closed, and a completion is left. Plain only: the others have that mark in the shared count.
    ClosedThen = 2,
    RunDown = 3,
    Claimed = 3 | 1 << Word::PHASE_BITS,
    /// Run down, and without its value: it opens with the next one only.
    Vacant = 3 | 2 << Word::PHASE_BITS,
}

/// A generation, from one opening to the next, and its cancelled drains. A waiter remembers the
/// epoch that it closed, so that it is not fooled by what came after (S6, S10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// One more after every drain that was followed by a re-init.
    pub(crate) generation: u64,
    /// One more after every cancelled drain of this generation.
    pub(crate) cancels: u64,
}

/// A generation of an object: it ends when the object has drained and is opened again. They wrap,
/// after 2^28 in the plain variant, after 2^40 in the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(pub u64);

/// One look at the life cycle, and the very word that was seen, for a compare-exchange against it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    pub(crate) word: Word,
}

/// How many bits each field has; with the phase, 64 in all (fewer in tests).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordLayout {
    pub(crate) count: u32,
    pub(crate) generation: u32,
    pub(crate) cancels: u32,
}

impl WordLayout {
    /// The plain variant.
    pub(crate) const PLAIN: Self = Self { count: 22, generation: 28, cancels: 12 };

    /// The variants with a count per CPU.
    pub(crate) const SHARDED: Self = Self { count: 0, generation: 40, cancels: 22 };

    /// The greatest count.
    pub(crate) const fn max_count(self) -> u64 {
        ones(self.count)
    }

    const fn generation_shift(self) -> u32 {
        Word::PHASE_BITS + self.cancels
    }

    const fn count_shift(self) -> u32 {
        self.generation_shift() + self.generation
    }
}

/// A state word and how it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) bits: u64,
    layout: WordLayout,
}

impl Word {
    const PHASE_BITS: u32 = 2;
    /// An object is open if and only if none of these bits is set.
    pub(crate) const PHASE: u64 = 0b11;
    /// The first word of an object that is born open, in every layout.
    pub(crate) const OPEN: u64 = Phase::Open as u64;
    /// The first word of an object that is born closed, in every layout.
    pub(crate) const RUN_DOWN: u64 = Phase::RunDown as u64;
    /// The first word of an object that is born without its value, in every layout.
    pub(crate) const VACANT: u64 = Phase::Vacant as u64;

    pub(crate) const fn new(layout: WordLayout, bits: u64) -> Self {
        Self { bits, layout }
    }

    pub(crate) const fn phase(self) -> Phase {
        match self.bits & Self::PHASE {
            0 => Phase::Open,
            1 => Phase::Closed,
            2 => Phase::ClosedThen,
            _ => match self.epoch().cancels {
                0 => Phase::RunDown,
                1 => Phase::Claimed,
                _ => Phase::Vacant,
            },
        }
    }

    pub(crate) const fn epoch(self) -> Epoch {
        Epoch {
            generation: self.bits >> self.layout.generation_shift() & ones(self.layout.generation),
            cancels: self.bits >> Self::PHASE_BITS & ones(self.layout.cancels),
        }
    }

    /// The protections held that this word counts.
    pub(crate) const fn count(self) -> u64 {
        // In two steps: with no bits for a count the shift is as wide as the word.
        (self.bits >> (self.layout.count_shift() - 1)) >> 1 & ones(self.layout.count)
    }

    pub(crate) const fn is_open(self) -> bool {
        self.bits & Self::PHASE == Self::OPEN
    }

    /// The same epoch in another phase, counting nothing.
    pub(crate) const fn emptied(self, phase: Phase) -> Self {
        Self::of(self.layout, self.epoch(), phase)
    }

    /// The same epoch and count in another phase, one that has a count.
    pub(crate) const fn with_phase(self, phase: Phase) -> Self {
        self.counting_on(Self::of(self.layout, self.epoch(), phase))
    }

    /// Open again, with the count as it is, in the epoch after a cancelled drain.
    pub(crate) const fn revived(self) -> Self {
        let epoch = Epoch { cancels: self.epoch().cancels + 1, ..self.epoch() };
        self.counting_on(Self::of(self.layout, epoch, Phase::Open))
    }

    /// `next`, with this word's count.
    const fn counting_on(self, next: Self) -> Self {
        Self { bits: self.bits & !ones(self.layout.count_shift()) | next.bits, ..next }
    }

    /// Open, in the generation after a drain.
    pub(crate) const fn reborn(layout: WordLayout, epoch: Epoch) -> Self {
        let next = Epoch { generation: epoch.generation + 1, cancels: 0 };
        Self::of(layout, next, Phase::Open)
    }

    /// `n` more protections, if it is open.
    #[inline]
    pub(crate) fn acquired(self, n: u32) -> Result<Self, Refused> {
        if self.is_open() { self.acquired_held(n) } else { Err(Refused::Closed) }
    }

    /// `n` more protections for a caller that holds some, in whatever phase (S12).
    #[inline]
    pub(crate) fn acquired_held(self, n: u32) -> Result<Self, Refused> {
        if u64::from(n) > self.layout.max_count() - self.count() {
            return Err(full());
        }
        Ok(Self { bits: self.bits + self.times(n), ..self })
    }

    /// `n` fewer protections; `None` if fewer than `n` are held.
    #[inline]
    pub(crate) fn released(self, n: u32) -> Option<Self> {
        if u64::from(n) > self.layout.max_count() {
            return None;
        }
        // The count is at the top, so that a count below `n` is a word below it.
        let bits = self.bits.checked_sub(self.times(n))?;
        Some(Self { bits, ..self })
    }

    /// The state that the word alone says, where it has the count.
    pub(crate) const fn state(self) -> State {
        match (self.phase(), self.count()) {
            (Phase::Open, _) => State::Open,
            (Phase::Closed, 0) => State::Drained,
            // The last release is about to run the completion.
            (Phase::ClosedThen, 0) => State::Closing,
            (Phase::Closed | Phase::ClosedThen, _) => State::Draining,
            (Phase::RunDown | Phase::Vacant, _) => State::RunDown,
            (Phase::Claimed, _) => State::Claimed,
        }
    }

    /// Counting nothing.
    pub(crate) const fn of(layout: WordLayout, epoch: Epoch, phase: Phase) -> Self {
        let cancels = match phase {
            Phase::Open | Phase::Closed | Phase::ClosedThen => epoch.cancels & ones(layout.cancels),
            Phase::RunDown | Phase::Claimed | Phase::Vacant => 0,
        };
        let generation = epoch.generation & ones(layout.generation);
        let epoch = generation << layout.generation_shift() | cancels << Self::PHASE_BITS;
        let bits = epoch | phase as u64;
        Self { bits, layout }
    }

    /// The number to add for `n`, which is not more than the greatest count.
    const fn times(self, n: u32) -> u64 {
        (n as u64) << self.layout.count_shift()
    }
}

/// Out of the way of the acquires that are granted or refused.
#[cold]
#[inline(never)]
fn full() -> Refused {
    Refused::Full
}

/// The lowest `bits` bits.
const fn ones(bits: u32) -> u64 {
    match bits {
        0 => 0,
        _ => u64::MAX >> (u64::BITS - bits),
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests;
