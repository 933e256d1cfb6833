//! The plain kind: phase, era and count in one word. The reference implementation, obviously right.

use core::fmt;
use core::marker::PhantomData;

use crate::counts::RacyCounts;
use crate::lifecycle::{Inside, Kind};
use crate::platform::{ObjectId, Platform};
use crate::primitive::{AtomicU64, Ordering, const_unless_model};
use crate::rundown::Rundown;
use crate::state::{Misuse, Refused, State};
use crate::word::{Era, Phase, Snapshot, Word};

/// Rundown protection with one shared counter: small, and slow when many CPUs use it at once.
///
/// Acquire and release are lock-free. It needs no CPU hint; of [`Platform`] it uses the wake-up
/// only.
pub struct RundownRef<P: Platform> {
    word: AtomicU64,
    platform: PhantomData<fn() -> P>,
}

/// 28 bits of lives: at one every 100 ns they come round in 27 s.
type PlainWord = Word<28, 28, 6>;

impl<P: Platform> RundownRef<P> {
    /// How many protections can be held at once: 2^28 - 1.
    pub const CAPACITY: u64 = PlainWord::MAX_COUNT;

    const_unless_model! {
        /// An open object.
        #[must_use]
        pub fn new() -> Self {
            Self { word: AtomicU64::new(PlainWord::new(Phase::Open).0), platform: PhantomData }
        }
    }

    const_unless_model! {
        /// An object that is born closed: run down, until it is [opened](Rundown::open) (S9).
        #[must_use]
        pub fn closed() -> Self {
            Self { word: AtomicU64::new(PlainWord::new(Phase::RunDown).0), platform: PhantomData }
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
    type Platform = P;

    #[inline]
    fn take_references(&self, n: u32) -> Result<(), Refused> {
        // Relaxed: pairs with nothing, the value is only a first guess for the exchange below. A
        // refusal needs no more either: whoever learns of it reads this word at least as new
        // (coherence, S1).
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let taken = PlainWord::at(seen).acquired(n)?;
            // Acquire: pairs with the Release in `settle_open`; what the owner did before it opened
            // the object is visible under protection. A failure is as good as the load above.
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
    unsafe fn drop_references(&self, n: u32) {
        let object = ObjectId::of(self);
        // Relaxed: pairs with nothing, the value is only a first guess for the exchange below.
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let Some(left) = PlainWord::at(seen).released(n) else {
                return P::misuse(&Misuse::OverRelease {
                    object,
                    held: PlainWord::at(seen).count().cast_signed(),
                    released: u64::from(n),
                });
            };
            // Release: pairs with the Acquire in `look`; what was done under protection
            // happens-before the return of `wait` (S2). Its success is the last touch (S3): the
            // object may be gone then. A failure is as good as the load above.
            match self.word.compare_exchange_weak(
                seen,
                left.0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) if left.is_drained() => return P::wake_waiters(object),
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    fn look(&self) -> Snapshot {
        // Acquire: pairs with the Release in `drop_references` (S2: all writes between are by
        // read-modify-write, so one load sees every release), and with those in `step`, `revive` and
        // `settle_*`.
        let word = PlainWord::at(self.word.load(Ordering::Acquire));
        word.snapshot(|| {
            if word.count() == 0 {
                State::Drained
            } else {
                State::Draining
            }
        })
    }

    fn step(&self, from: Snapshot, to: Phase, _: Inside) -> bool {
        let next = PlainWord::at(from.word).with_phase(to);
        // Release: pairs with the Acquire in `look`: the owner's steps, by whichever thread, happen
        // one after the other (S8). No Acquire: `look` has acquired this word. A failure is
        // followed by another `look`.
        self.word
            .compare_exchange(from.word, next.0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    fn sweep(&self, _: Inside) {
        // The count is in the very word that `step` closed.
    }

    fn revive(&self, draining: Snapshot, _: Inside) -> bool {
        let open = PlainWord::at(draining.word).revived();
        // Release: pairs with the Acquire in `look` and in `take_references`, as in `settle_open`.
        // A failure is followed by another `look`.
        self.word
            .compare_exchange(draining.word, open.0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    fn unsweep(&self, _: Inside) {
        // The count is zero, which is where the next life starts.
    }

    fn settle_open(&self, era: Era, _: Inside) {
        // Release: pairs with the Acquire in `take_references` (a grant sees what the owner
        // prepared) and in `look` (so does the next owner). A store will do: nobody else writes a
        // claimed word.
        self.word.store(PlainWord::reborn(era).0, Ordering::Release);
    }

    fn settle_run_down(&self, era: Era, _: Inside) {
        // Release: pairs with the Acquire in `look`: the next owner sees that the value is taken.
        // A store will do, as above.
        self.word
            .store(PlainWord::of(era, Phase::RunDown).0, Ordering::Release);
    }

    fn held(&self) -> i64 {
        // Relaxed: pairs with nothing, the answer is for people.
        PlainWord::at(self.word.load(Ordering::Relaxed))
            .count()
            .cast_signed()
    }

    fn counts(&self) -> RacyCounts<'_> {
        RacyCounts::one(self.held())
    }
}

impl<P: Platform> fmt::Debug for RundownRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RundownRef")
            .field("state", &self.state())
            .field("held", &self.held())
            .finish()
    }
}

#[cfg(feature = "diagnosis")]
impl<P: Platform> Drop for RundownRef<P> {
    fn drop(&mut self) {
        crate::diagnosis::dropped(self);
    }
}
