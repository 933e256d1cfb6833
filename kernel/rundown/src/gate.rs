//! [`Gate`]: the state word, each transition of it a method, and what a closed object counts by.

use crate::completion::CompletionSlot;
use crate::platform::Platform;
use crate::primitive::{AtomicU64, Ordering};
use crate::shared::SharedCount;
use crate::state::{ObjectId, Refused};
use crate::word::{Epoch, Phase, Snapshot, Word, WordLayout};

/// The state word, which every acquire looks at first, and right behind it the counts.
///
/// ```text
///                 +- try_reopen_held <---+
///                 v                      |
/// born open --> Open -- try_close --> Closed, draining
///                 ^                      | the last release
///                 |                      v
///                 |                   Closed, drained -- try_complete --> RunDown <-- born closed
///                 |                      |                                   |
///                 |                      +------------ try_claim ------------+-- Vacant <- born so
///                 |                                        v                       ^
///                 +---------- finish_reopen ---------- Claimed -- finish_vacant ---+
/// ```
#[repr(C)]
pub(crate) struct Gate<C> {
    word: AtomicU64,
    pub(crate) counts: C,
}

/// How a closed object counts.
pub trait Counts: Send + Sync {
    /// Of the state word.
    const LAYOUT: WordLayout = WordLayout::SHARDED;

    /// The shared count, unless the count is in the state word itself.
    fn shared(&self) -> Option<&SharedCount>;

    /// Where a completion is left.
    fn completion(&self) -> &CompletionSlot;
}

/// The plain variant's: its count is in the state word.
impl Counts for CompletionSlot {
    const LAYOUT: WordLayout = WordLayout::PLAIN;

    fn shared(&self) -> Option<&SharedCount> {
        None
    }

    fn completion(&self) -> &CompletionSlot {
        self
    }
}

impl Counts for SharedCount {
    fn shared(&self) -> Option<&SharedCount> {
        Some(self)
    }

    fn completion(&self) -> &CompletionSlot {
        &self.completion
    }
}

impl<C> Gate<C> {
    const_unless_model! {
        pub(crate) fn new(counts: C) -> Self {
            Self { word: AtomicU64::new(Word::OPEN), counts }
        }

        /// With this word, for a gate that has never been used.
        pub(crate) fn begin_with(&mut self, word: u64) {
            self.word = AtomicU64::new(word);
        }
    }

    /// Whether the object is open. It may close at any time.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        // Acquire: pairs with the Release in `finish`; an acquire that sees the object re-opened
        // finds every slot open, so that a refusal means closed.
        Word::new(WordLayout::SHARDED, self.word.load(Ordering::Acquire)).is_open()
    }

    /// The word itself, for the plain variant's acquire and release, and for assembly.
    pub(crate) const fn word(&self) -> &AtomicU64 {
        &self.word
    }
}

impl<C: Counts> Gate<C> {
    /// After a snapshot that says `Drained`, or anything later in that generation, all work
    /// under protection is visible to the caller (S2).
    pub(crate) fn snapshot(&self) -> Snapshot {
        // Acquire: pairs with the Release of a plain release (S2: all writes between are
        // read-modify-writes, so one load sees every release); with the one in `finish`: a load
        // that sees a generation sees its shared count, not the zero of the one before; and with
        // the one in `change`: a load that sees a claim or a completion sees what it followed.
        let word = self.at(self.word.load(Ordering::Acquire));
        let state = match (word.phase(), self.counts.shared()) {
            (Phase::Closed, Some(shared)) => shared.state(),
            _ => word.state(),
        };
        Snapshot { state, word }
    }

    /// Open to closed. In the plain variant, `then` publishes the completion's slot.
    pub(crate) fn try_close(&self, open: Snapshot, then: bool) -> bool {
        let phase =
            if then && self.counts.shared().is_none() { Phase::ClosedThen } else { Phase::Closed };
        self.change(open.word, open.word.with_phase(phase))
    }

    /// Drained to run down.
    pub(crate) fn try_complete(&self, drained: Snapshot) -> bool {
        self.change(drained.word, drained.word.emptied(Phase::RunDown))
    }

    /// Drained, run down or vacant to claimed: the caller has the object until `finish_*`.
    pub(crate) fn try_claim(&self, seen: Snapshot) -> bool {
        self.change(seen.word, seen.word.emptied(Phase::Claimed))
    }

    /// Draining, from without a completion to with one, whose slot this publishes. If it succeeds,
    /// that was the caller's last touch.
    pub(crate) fn try_leave_completion(&self, draining: Snapshot) -> bool {
        match self.counts.shared() {
            Some(shared) => shared.leave_completion(),
            None => {
                draining.word.phase() == Phase::Closed
                    && self.change(draining.word, draining.word.with_phase(Phase::ClosedThen))
            }
        }
    }

    /// `n` more for a caller that holds some, in whatever phase (S12).
    pub(crate) fn acquire_held(&self, n: u32) -> Result<(), Refused> {
        if let Some(shared) = self.counts.shared() {
            return shared.acquire_held(n);
        }
        let taken = |seen| Some(self.at(seen).acquired_held(n).ok()?.bits);
        // Relaxed: pairs with nothing; the caller's own protection has acquired what it needs, and
        // keeps the object from draining. A failure changes nothing.
        let done = (self.word).fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        done.map(drop).map_err(|_| Refused::Full)
    }

    /// Whether so little is held that a cancel may carry it over.
    pub(crate) fn may_reopen_held(&self) -> bool {
        self.counts.shared().is_none_or(SharedCount::may_be_carried_over)
    }

    /// Draining to open, with what is held. In the plain variant this is all; in the others the
    /// caller now has the closed object to itself, opens the slots, and calls `finish_reopen_held`.
    /// Returns whether a completion was left, which is the caller's now.
    pub(crate) fn try_reopen_held(&self, draining: Snapshot) -> Option<bool> {
        match self.counts.shared() {
            Some(shared) => shared.begin_cancel(),
            None => self
                .change(draining.word, draining.word.revived())
                .then(|| draining.word.phase() == Phase::ClosedThen),
        }
    }

    /// The end of a cancel, unless the first step was all.
    pub(crate) fn finish_reopen_held(&self) {
        // Relaxed: pairs with nothing itself; the caller has acquired this epoch's closing by the
        // shared count (`SharedCount::begin_cancel`), and only it writes until the object opens.
        let closed = self.at(self.word.load(Ordering::Relaxed));
        self.finish(closed.revived());
    }

    /// The end of a claim: opens the object in the next generation, which it returns.
    pub(crate) fn finish_reopen(&self, claimed: Epoch) -> u64 {
        let open = Word::reborn(C::LAYOUT, claimed);
        self.finish(open);
        open.epoch().generation
    }

    /// The end of a claim: the object is vacant.
    pub(crate) fn finish_vacant(&self, claimed: Epoch) {
        self.finish(Word::of(C::LAYOUT, claimed, Phase::Vacant));
    }

    /// The plain variant's last release of a closed object, which it has `left` so: wakes waiters.
    /// With a completion, first takes that out and publishes that the object is drained.
    #[cold]
    pub(crate) fn finish_drain<P: Platform>(&self, object: ObjectId, left: Word) {
        if left.phase() != Phase::ClosedThen {
            return P::wake_waiters(object);
        }
        // Acquire: pairs with the Release of every plain release, as in `snapshot`, and with the
        // one that published the completion's slot (`change`).
        let last = self.at(self.word.load(Ordering::Acquire));
        self.counts.completion().end_drain::<P>(object, || {
            self.finish(last.emptied(Phase::Closed));
        });
    }

    pub(crate) fn at(&self, bits: u64) -> Word {
        Word::new(C::LAYOUT, bits)
    }

    fn change(&self, from: Word, to: Word) -> bool {
        // AcqRel, so that the owner's steps, by whichever thread, happen one after the other (S8).
        // Release: pairs with the Acquire here and in `snapshot`. Acquire: pairs with the Release
        // here and in `finish`; the snapshot's is not enough: the same word may have come back
        // (README, race 7). A failure is followed by another look.
        self.word.compare_exchange(from.bits, to.bits, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// A store will do: only the caller may write the word.
    fn finish(&self, word: Word) {
        // Release: pairs with the Acquire in `is_open`, `snapshot`, `change` and the plain acquire.
        self.word.store(word.bits, Ordering::Release);
    }
}
