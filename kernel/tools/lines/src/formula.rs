//! The model: what each step costs, by kind and number of CPUs.
//!
//! `n` is the number of CPUs but one, the owner; `m` is 1 if there is another CPU at all, else 0.

use crate::Cost;

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// Counters of 8 bytes on a line.
pub const PER_LINE: usize = LINE / 8;

/// A design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`PlainRundown`](rundown_traced::PlainRundown).
    Plain,
    /// [`CacheAwareRundown`](rundown_traced::CacheAwareRundown), with a slot for each CPU.
    CacheAware,
    /// [`PerCpuRundown`](rundown_traced::PerCpuRundown).
    PerCpu,
    /// [`WindowsShape`](crate::WindowsShape), with a slot for each CPU.
    Windows,
    /// [`Counters`](crate::Counters), one for all CPUs. No life.
    Shared,
    /// [`Counters`](crate::Counters), one for each CPU, side by side. No life.
    Unpadded,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One CPU acquires and releases, again and again.
    PairsAgain,
    /// Each CPU acquires and releases once, one CPU after the other.
    PairsInTurn,
    /// Each CPU acquires, one after the other; then each releases.
    Interleaved,
    /// As `PairsInTurn`, the first time after the object was opened.
    FirstPairs,
    /// The owner closes an object that every CPU has used and nobody holds.
    Close,
    /// Each CPU is refused, the first time after the close.
    Refusals,
    /// The owner opens the object again. Every CPU has been refused.
    Reinit,
    /// Each CPU releases what it held when the object was closed; the owner sees it drained.
    LateReleases,
    /// The owner opens the object again after that. Nobody was refused.
    LateReinit,
}

impl Step {
    /// Those that need no life.
    pub const PAIRS: [Self; 3] = [Self::PairsAgain, Self::PairsInTurn, Self::Interleaved];

    /// Those of a life.
    pub const LIFE: [Self; 6] = [
        Self::FirstPairs,
        Self::Close,
        Self::Refusals,
        Self::Reinit,
        Self::LateReleases,
        Self::LateReinit,
    ];
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::CacheAware,
        Self::PerCpu,
        Self::Windows,
        Self::Shared,
        Self::Unpadded,
    ];

    /// What a step costs all `cpus` together; `None` if the design has no such step.
    #[must_use]
    pub const fn cost(self, step: Step, cpus: u64) -> Option<Cost> {
        match step {
            Step::PairsAgain => Some(Cost::NONE),
            Step::PairsInTurn => Some(self.in_turn(cpus)),
            Step::Interleaved => {
                let Cost { fetches, takes, .. } = self.in_turn(cpus);
                Some(Cost::new(2 * fetches, 2 * takes))
            }
            _ => self.of_life(step, cpus),
        }
    }

    /// Pairs, each by another CPU than the last. Who counts on a line of its own pays nothing.
    const fn in_turn(self, cpus: u64) -> Cost {
        let crowd = if cpus > 1 { cpus } else { 0 };
        match self {
            // The load gets a copy, the exchange makes it the only one; the release finds it here.
            Self::Plain => Cost::new(crowd, crowd),
            Self::Shared => Cost::new(0, crowd),
            // A CPU that has a line for itself by chance is no crowd.
            Self::Unpadded if cpus % PER_LINE as u64 == 1 => Cost::new(0, cpus - 1),
            Self::Unpadded => Cost::new(0, cpus),
            Self::CacheAware | Self::PerCpu | Self::Windows => Cost::NONE,
        }
    }

    const fn of_life(self, step: Step, cpus: u64) -> Option<Cost> {
        let n = cpus - 1;
        let m = if n > 0 { 1 } else { 0 };
        let switch = Cost::new(0, m);
        Some(match (self, step) {
            (Self::Shared | Self::Unpadded, _) => return None,

            // The switch from the owner, the own counter from whoever closed or opened.
            (_, Step::FirstPairs) => Cost::new(n, n),

            (Self::Plain, Step::Close) => Cost::new(m, m),
            // The switch from all its readers, and each slot from its user.
            (Self::CacheAware, Step::Close) => Cost::new(0, m + n),
            // The slots are read only: their users keep a copy.
            (Self::PerCpu, Step::Close) => plus(plus(switch, Cost::new(n, 0)), barrier(cpus)),
            (Self::Windows, Step::Close) => Cost::new(0, n),

            // Everybody reads one word (Windows: its own), which the closer wrote.
            (_, Step::Refusals) => Cost::new(n, 0),

            // And that word is taken back. The slots are still here.
            (Self::Plain | Self::CacheAware | Self::PerCpu, Step::Reinit) => switch,
            (Self::Windows, Step::Reinit | Step::LateReinit) => Cost::new(0, n),

            // One line that all write, and the owner reads at the end.
            (Self::Plain | Self::PerCpu | Self::Windows, Step::LateReleases) => Cost::new(n + m, n),
            // The own slot, and one line that all write.
            (Self::CacheAware, Step::LateReleases) => Cost::new(m, 2 * n),

            (Self::Plain, Step::LateReinit) => switch,
            // The line that all wrote, and each slot (per-CPU: counter) that is not zero.
            (Self::CacheAware | Self::PerCpu, Step::LateReinit) => Cost::new(0, m + n),

            (_, Step::PairsAgain | Step::PairsInTurn | Step::Interleaved) => return None,
        })
    }

    /// What it costs to close so many objects together that every CPU has used and nobody holds; `None`
    /// if the design cannot be closed.
    #[must_use]
    pub const fn batch(self, objects: u64, cpus: u64) -> Option<Cost> {
        let n = cpus - 1;
        match (self, self.of_life(Step::Close, cpus)) {
            (_, None) => None,
            // One barrier for all, and a line of each CPU has the counters of several objects.
            (Self::PerCpu, Some(_)) => {
                let switches = if n > 0 { objects } else { 0 };
                let lines = n * objects.div_ceil(PER_LINE as u64);
                Some(plus(barrier(cpus), Cost::new(lines, switches)))
            }
            // Side by side in an array, four objects of 16 bytes come with one line (if it starts with a
            // line).
            (Self::Plain, Some(one)) => Some(times(one, objects.div_ceil(PER_LINE as u64 / 2))),
            (_, Some(one)) => Some(times(one, objects)),
        }
    }

    /// How much memory an object takes.
    #[must_use]
    pub const fn memory(self) -> Memory {
        match self {
            Self::Plain => Memory::new(16, 0),
            Self::Shared => Memory::new(8, 0),
            Self::CacheAware => Memory::new(64, 128),
            Self::PerCpu => Memory::new(64, 8),
            Self::Windows => Memory::new(64, 64),
            Self::Unpadded => Memory::new(0, 8),
        }
    }
}

/// A barrier, as this project's kernel makes it, at the least: what the caller and the others do.
///
/// The caller takes the line with the round's number. A CPU's area has two lines that matter: one that
/// every interrupt of that CPU writes, and that says whether it is online; one with the request and the
/// answer. So for each other CPU:
///
/// - the caller takes the second (request),
/// - the CPU takes the first (it enters an interrupt), fetches and takes the second (is there a request?
///   it is served), and fetches the round's number,
/// - the caller fetches both (online? answered?).
///
/// While the caller waits, it looks again and again, and may fetch more.
#[must_use]
pub const fn barrier(cpus: u64) -> Cost {
    let n = cpus - 1;
    let m = if n > 0 { 1 } else { 0 };
    Cost::new(4 * n, m + 3 * n).interrupting(n)
}

/// Bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// However many CPUs there are.
    pub object: u64,
    /// For each CPU.
    pub per_cpu: u64,
}

impl Memory {
    const fn new(object: u64, per_cpu: u64) -> Self {
        Self { object, per_cpu }
    }

    /// In all.
    #[must_use]
    pub const fn total(self, cpus: u64) -> u64 {
        self.object + self.per_cpu * cpus
    }
}

/// The sum, in a constant.
const fn plus(a: Cost, b: Cost) -> Cost {
    Cost::new(a.fetches + b.fetches, a.takes + b.takes).interrupting(a.interrupts + b.interrupts)
}

/// The product, in a constant.
const fn times(cost: Cost, times: u64) -> Cost {
    Cost::new(cost.fetches * times, cost.takes * times).interrupting(cost.interrupts * times)
}
