//! The results of a run, and how they are shown.

mod break_even;
mod criteria;
mod curves;
mod many;
mod markdown;
mod picture;
mod table;

use serde::Serialize;

pub use self::break_even::{BreakEven, break_even};
pub use self::criteria::{Bound, Criterion, criteria};
pub use self::curves::teardown_svg;
pub use self::markdown::with_objects;
pub use self::picture::svg;
pub use self::table::table;
use crate::batch::Batch;
use crate::creation::Creation;
use crate::objects::Use;
use crate::teardown::Teardown;
use crate::{Contender, Effort, Group, Machine, Memory, Spread, Workers, names};

/// All of a run: what the JSON file holds.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where and when.
    pub machine: Machine,
    /// How long.
    pub effort: Effort,
    /// [`Measured::disturbed_percent`](crate::Measured::disturbed_percent), of the part that was disturbed
    /// most.
    pub disturbed_percent: f64,
    /// One line for each contender.
    pub pairs: Vec<Pair>,
    /// Contenders that could not be measured here, and why.
    pub missing: Vec<Missing>,
    /// The same with work in between.
    pub work: Vec<Pair>,
    /// Of many objects, by how many.
    pub objects: Vec<Use>,
    /// Of one object whose value each use writes.
    pub written: Vec<Pair>,
    /// By one CPU, while all others write the value.
    pub beside_writers: Vec<Pair>,
    /// Making an object of the per-CPU variant.
    pub creations: Vec<Creation>,
    /// Closing one object.
    pub teardowns: Vec<Teardown>,
    /// Closing many.
    pub batches: Vec<Batch>,
    /// Of the two fastest variants.
    pub break_even: Vec<BreakEven>,
    /// What of all this was to be reached, and was.
    pub criteria: Vec<Criterion>,
}

/// What an acquire and a release cost together.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// [`Contender::name`].
    pub name: &'static str,
    /// [`Contender::group`].
    pub group: Group,
    /// [`Contender::memory`].
    pub memory: Option<Memory>,
    /// By number of threads.
    pub costs: Vec<Cost>,
    /// Throughput of all threads together to that of one.
    pub scaling: Option<Spread>,
    /// One thread's cost to that of the limit with locked instructions.
    pub to_locked: Option<Spread>,
    /// One thread's cost to that of the limit without.
    pub to_unlocked: Option<Spread>,
    /// The Windows shape's cost to this, with one thread: how many times faster this is.
    pub windows_to_this: Option<Spread>,
}

/// What a pair costs each of so many threads that use the object at once.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// How many, each on a CPU of its own.
    pub threads: usize,
    /// Nanoseconds.
    pub ns: Spread,
}

/// A contender that is not there.
#[derive(Debug, Serialize)]
pub struct Missing {
    /// As [`Contender::name`].
    pub name: &'static str,
    /// And what would help.
    pub reason: String,
}

impl Report {
    /// Of a run in which nothing was measured as yet.
    #[must_use]
    pub fn new(machine: Machine, effort: Effort) -> Self {
        Self {
            machine,
            effort,
            disturbed_percent: 0.0,
            pairs: Vec::new(),
            missing: Vec::new(),
            work: Vec::new(),
            objects: Vec::new(),
            written: Vec::new(),
            beside_writers: Vec::new(),
            creations: Vec::new(),
            teardowns: Vec::new(),
            batches: Vec::new(),
            break_even: Vec::new(),
            criteria: Vec::new(),
        }
    }

    fn pair(&self, name: &str) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.name == name)
    }

    fn teardown(&self, kind: &str, slots: usize, loaded: bool) -> Option<&Teardown> {
        self.teardowns
            .iter()
            .find(|line| (line.kind, line.slots, line.loaded) == (kind, slots, loaded))
    }

    fn batch(&self, kind: &str, objects: usize) -> Option<&Batch> {
        self.batches
            .iter()
            .find(|line| (line.kind, line.objects) == (kind, objects))
    }

    fn used(&self, name: &str, objects: usize) -> Option<&Use> {
        self.objects
            .iter()
            .find(|line| (line.name, line.objects) == (name, objects))
    }

    /// Where, when and how, for the foot of a picture.
    fn facts(&self) -> [String; 2] {
        let Machine {
            cpu,
            cpus,
            kernel,
            compiler,
            date,
            ..
        } = &self.machine;
        let virtual_machine = if self.machine.virtual_machine {
            ", virtual machine"
        } else {
            ""
        };
        let (rounds, disturbed) = (self.effort.rounds, self.disturbed_percent);
        [
            format!("{cpu}, {cpus} CPUs{virtual_machine}"),
            format!(
                "{kernel}; {compiler}; {date}; medians of {rounds} rounds, {disturbed:.0}% disturbed"
            ),
        ]
    }
}

impl Pair {
    /// Makes lines of what [`pairs`](crate::pairs()) measured. Ratios are taken within rounds.
    #[must_use]
    pub fn lines(workers: &Workers, contenders: &[Contender], ns: &[Vec<Vec<f64>>]) -> Vec<Self> {
        let alone = |name: &str| {
            let place = contenders.iter().position(|c| c.name == name)?;
            Some(&ns[place][0])
        };
        let line = |(contender, steps): (&Contender, &Vec<Vec<f64>>)| {
            let costs = workers.steps().into_iter().zip(steps);
            let to = |limit: &str| Spread::of_ratios(&steps[0], alone(limit)?);
            Self {
                name: contender.name,
                group: contender.group,
                memory: contender.memory,
                costs: costs
                    .filter_map(|(threads, rounds)| {
                        let ns = Spread::of(rounds.iter().copied())?;
                        Some(Cost { threads, ns })
                    })
                    .collect(),
                scaling: scaling(workers.count(), steps),
                to_locked: to(names::LOCKED),
                to_unlocked: to(names::UNLOCKED),
                windows_to_this: alone(names::WINDOWS)
                    .and_then(|windows| Spread::of_ratios(windows, &steps[0])),
            }
        };
        contenders.iter().zip(ns).map(line).collect()
    }

    /// One thread's median, in nanoseconds.
    #[must_use]
    pub fn alone(&self) -> f64 {
        self.costs
            .first()
            .map_or(f64::INFINITY, |cost| cost.ns.median)
    }
}

/// `None` with one CPU only.
fn scaling(cpus: usize, steps: &[Vec<f64>]) -> Option<Spread> {
    let [alone, .., all] = steps else { return None };
    let per_thread = Spread::of_ratios(alone, all)?;
    let times = |value: f64| value * cpus as f64;
    Some(Spread {
        median: times(per_thread.median),
        low: times(per_thread.low),
        high: times(per_thread.high),
    })
}
