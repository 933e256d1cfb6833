//! The state of a barrier made of interrupts, for platforms: which CPUs have answered, and which
//! interrupts callers can share.

use crate::primitive::{AtomicU64, AtomicUsize, Ordering};

/// The rounds of a barrier: every call of it is one, and has a number. The README, "Your own
/// kernel", has the whole barrier in pseudocode.
///
/// - Callers share interrupts: one that is sent and not served yet does for every caller that asks
///   meanwhile, and a CPU that has answered a later round has answered this one.
/// - There is no lock and no leader, so a handler that interrupts a caller may itself be one.
/// - A caller that waits with interrupts off answers for its own CPU, lest two wait for each other.
#[derive(Debug, Default)]
pub struct Rounds {
    latest: AtomicU64,
}

/// One call of a barrier.
#[derive(Clone, Copy, Debug)]
#[must_use = "the CPUs are to be asked, and their answers to be awaited"]
pub struct Round(u64);

/// One CPU's side.
#[derive(Debug, Default)]
pub struct Answers {
    /// 1 if an interrupt is sent, or is about to be, that the CPU has not served yet.
    asked: AtomicUsize,
    /// The latest round that it has answered.
    answered: AtomicU64,
}

impl Rounds {
    const_unless_model! {
        /// None has begun.
        pub fn new() -> Self {
            Self { latest: AtomicU64::new(0) }
        }
    }

    /// Begins a round. Any context.
    pub fn begin(&self) -> Round {
        // Release: pairs with the Acquire in `answer`; a CPU that answers sees what the caller did
        // before. Acquire, for the callers of the rounds before, whose numbers this one replaces.
        Round(self.latest.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

impl Answers {
    const_unless_model! {
        /// It has answered nothing.
        pub fn new() -> Self {
            Self { asked: AtomicUsize::new(0), answered: AtomicU64::new(0) }
        }
    }

    /// Asks the CPU. `true`: the caller must send it an interrupt, now, which must not overtake the
    /// stores before it (in x2APIC mode: `mfence; lfence` first); nothing that itself asks may run
    /// in between on the caller's CPU, where it would wait for that interrupt (so: interrupts off).
    /// `false`: one is under way.
    #[must_use]
    pub fn ask(&self) -> bool {
        // AcqRel: pairs with the exchange in `answer`, which reads this or what another caller
        // wrote after it, so that its load of the latest round finds this caller's.
        self.asked.swap(1, Ordering::AcqRel) == 0
    }

    /// Answers all rounds that have begun, if asked. Called on that CPU, outside of restartable
    /// sequences, in any context; one may interrupt another.
    pub fn answer(&self, rounds: &Rounds) {
        // Relaxed: pairs with nothing; a caller that asks interrupts this CPU: it comes again.
        if self.asked.load(Ordering::Relaxed) == 0 {
            return;
        }
        // First this, then the number: a caller that asks in between sends another interrupt.
        // AcqRel: pairs with the exchange in `ask`; the load below stays behind it.
        self.asked.swap(0, Ordering::AcqRel);
        // Acquire: pairs with the Release in `begin`.
        let latest = rounds.latest.load(Ordering::Acquire);
        // Release: pairs with the Acquire in `has_answered`; all this CPU did before is visible to
        // the caller. The maximum, since one that interrupts this may have answered a later round.
        self.answered.fetch_max(latest, Ordering::Release);
    }

    /// Whether the CPU has answered the round. Then what it did before is visible.
    pub fn has_answered(&self, round: Round) -> bool {
        // Acquire: pairs with the Release in `answer`.
        self.answered.load(Ordering::Acquire) >= round.0
    }

    /// The number of the latest round that it has answered. Racy; for people and tests.
    pub fn racy_latest(&self) -> u64 {
        // Relaxed: pairs with nothing.
        self.answered.load(Ordering::Relaxed)
    }
}
