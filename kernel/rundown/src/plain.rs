//! The plain kind: phase, count and cycle in one word. The reference implementation, obviously
//! right.

use core::marker::PhantomData;

use crate::lifecycle::{Kind, Rundown};
use crate::platform::Platform;
use crate::primitive::{AtomicU64, Ordering, const_unless_model};
use crate::state::{Cycle, Phase, Refused, Snapshot, State};

/// Rundown protection with one shared counter: small, and slow when many CPUs use it at once.
///
/// Acquire and release are lock-free. It needs no CPU hint; of [`Platform`] it uses the wake-up
/// only.
pub struct RundownRef<P: Platform> {
    word: AtomicU64,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> RundownRef<P> {
    /// How many protections can be held at once: 2^30 - 1.
    pub const CAPACITY: u64 = Word::MAX_COUNT;

    const_unless_model! {
        /// An open object.
        pub fn new() -> Self {
            Self { word: AtomicU64::new(Word::NEW.0), platform: PhantomData }
        }
    }
}

impl<P: Platform> Default for RundownRef<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Rundown for RundownRef<P> {}

impl<P: Platform> Kind for RundownRef<P> {
    #[inline]
    fn take_reference(&self) -> Result<(), Refused> {
        // Relaxed: pairs with nothing, the value is only a first guess for the exchange below. A
        // refusal needs no more either: whoever learns of it reads this word at least as new
        // (coherence, S1).
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let taken = Word(seen).with_one_more()?;
            // Acquire: pairs with the Release in `settle`; what the owner did before it opened the
            // object is visible under protection. A failure is as good as the load above.
            match self.word.compare_exchange_weak(
                seen,
                taken.0,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    #[inline]
    unsafe fn drop_reference(&self) {
        // Release: pairs with the Acquire in `look`; what was done under protection happens-before
        // the return of `wait` (S2). This is the last touch (S3): once it is done, the object may
        // be gone.
        let before = Word(self.word.fetch_sub(Word::ONE, Ordering::Release));
        if before.is_last_of_closed() {
            P::wake_waiters();
        }
    }

    fn look(&self) -> Snapshot {
        // Acquire: pairs with the Release in `drop_reference` (S2: all writes between are by
        // read-modify-write, so one load sees every release), and with those in `step` and
        // `settle`.
        Word(self.word.load(Ordering::Acquire)).snapshot()
    }

    fn nothing_held(&self) -> bool {
        !matches!(self.look().state, State::Open | State::Draining)
    }

    fn step(&self, from: Snapshot, to: Phase) -> bool {
        let next = Word(from.word).with_phase(to);
        // Release: pairs with the Acquire in `look`: the owner's steps, by whichever thread, happen
        // one after the other (S8). No Acquire: `look` has acquired this word. A failure is
        // followed by another `look`.
        self.word
            .compare_exchange(from.word, next.0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    fn sweep(&self) {
        // The count is in the very word that `step` closed.
    }

    fn unsweep(&self) {
        // The count is zero, which is where the next life starts.
    }

    fn settle(&self, cycle: Cycle, phase: Phase) {
        // Release: pairs with the Acquire in `take_reference` (a grant sees what the owner
        // prepared) and in `look` (so does the next owner). A store will do: nobody else writes a
        // claimed word.
        self.word
            .store(Word::new(cycle, phase).0, Ordering::Release);
    }

    fn next(cycle: Cycle) -> Cycle {
        Cycle((cycle.0 + 1) & Word::MAX_CYCLE)
    }

    fn wake_waiters() {
        P::wake_waiters();
    }
}

/// `cycle << 32 | count << 2 | phase`.
///
/// The cycle wraps after 2^32 lives. That can only mislead a waiter who slept through exactly that
/// many of them, and then only into waiting for one more drain: the word proves by itself that it
/// is drained.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    const NEW: Self = Self(Phase::Open as u64);
    const ONE: u64 = 1 << Phase::BITS;
    const CYCLE_SHIFT: u32 = 32;
    const MAX_COUNT: u64 = (1 << (Self::CYCLE_SHIFT - Phase::BITS)) - 1;
    const MAX_CYCLE: u64 = u64::MAX >> Self::CYCLE_SHIFT;

    const fn new(cycle: Cycle, phase: Phase) -> Self {
        Self(cycle.0 << Self::CYCLE_SHIFT | phase as u64)
    }

    const fn count(self) -> u64 {
        (self.0 >> Phase::BITS) & Self::MAX_COUNT
    }

    fn with_one_more(self) -> Result<Self, Refused> {
        if Phase::of(self.0) != Phase::Open {
            Err(Refused::Closed)
        } else if self.count() == Self::MAX_COUNT {
            Err(Refused::Full)
        } else {
            Ok(Self(self.0 + Self::ONE))
        }
    }

    /// Whether the reference just dropped from this word was the one that waiters waited for.
    const fn is_last_of_closed(self) -> bool {
        self.count() == 1 && matches!(Phase::of(self.0), Phase::Closed)
    }

    const fn with_phase(self, phase: Phase) -> Self {
        Self(self.0 & !Phase::MASK | phase as u64)
    }

    fn snapshot(self) -> Snapshot {
        Snapshot {
            state: Phase::of(self.0).state(|| self.count() == 0),
            cycle: Cycle(self.0 >> Self::CYCLE_SHIFT),
            word: self.0,
        }
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_word_refuses_and_keeps_its_cycle() {
        let full = Word(Word::new(Cycle(7), Phase::Open).0 | Word::MAX_COUNT << Phase::BITS);
        assert_eq!(full.with_one_more().err(), Some(Refused::Full));
        let nearly = Word(full.0 - Word::ONE);
        assert_eq!(nearly.with_one_more().ok().map(|word| word.0), Some(full.0));
        assert_eq!(full.snapshot().cycle, Cycle(7));
    }

    #[test]
    fn a_change_of_phase_keeps_count_and_cycle() {
        let open = Word(Word::new(Cycle(9), Phase::Open).0 + 5 * Word::ONE);
        for phase in [Phase::Open, Phase::Closed, Phase::RunDown, Phase::Claimed] {
            let word = open.with_phase(phase);
            assert_eq!((word.count(), word.snapshot().cycle), (5, Cycle(9)));
            assert_eq!(Phase::of(word.0), phase);
        }
    }
}
