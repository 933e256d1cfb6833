//! What `rundown` is to reach on any machine, beside what it reached in this run.

use serde::Serialize;

use super::{Pair, Report};
use crate::{Group, Spread, names};

/// One thing to reach.
#[derive(Debug, Serialize)]
pub struct Criterion {
    /// Who, and what of it.
    pub what: String,
    /// What was measured; `None` if it was not, in this run.
    pub measured: Option<f64>,
    /// What it must be.
    pub bound: Bound,
    /// Whether it is.
    pub met: Option<bool>,
}

/// On which side of a number a measured one must be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

impl Bound {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtMost(bound) => measured <= bound,
            Self::AtLeast(bound) => measured >= bound,
        }
    }
}

/// Of perfect scaling, which is one: 1.9 with two CPUs.
const SCALING: f64 = 0.95;

/// How many objects that are closed together count as many.
const MANY: usize = 1_000;

/// All of them, in the order in which they matter.
#[must_use]
pub fn criteria(report: &Report) -> Vec<Criterion> {
    use Bound::{AtLeast, AtMost};

    let median = |spread: Option<Spread>| spread.map(|spread| spread.median);
    let mut all = Vec::new();
    let mut ask = |who: &str, what: &str, measured: Option<f64>, bound: Bound| {
        all.push(Criterion {
            what: format!("{who}: {what}"),
            measured,
            bound,
            met: measured.map(|measured| bound.holds(measured)),
        });
    };

    let per_cpu = report.pair(names::PER_CPU);
    let hosted = report.pair(names::PER_CPU_LINUX);
    let cache_aware = report.pair(names::CACHE_AWARE);
    let windows = |pair: Option<&Pair>| pair.and_then(|pair| median(pair.windows_to_this));
    let scaling = |pair: Option<&Pair>| pair.and_then(|pair| median(pair.scaling));
    let cpus = report.machine.cpus as f64;
    let scaled = format!("throughput of {cpus} threads to that of one");

    ask(
        names::PER_CPU,
        "pair to that of the bare instructions",
        per_cpu.and_then(|pair| median(pair.to_unlocked)),
        AtMost(1.3),
    );
    ask(
        names::PER_CPU,
        "times faster than Windows' shape",
        windows(per_cpu),
        AtLeast(10.0),
    );
    ask(
        names::PER_CPU,
        &scaled,
        scaling(per_cpu),
        AtLeast(SCALING * cpus),
    );
    ask(
        names::PER_CPU_LINUX,
        "pair, ns",
        hosted.map(Pair::alone),
        AtMost(6.0),
    );
    ask(
        names::PER_CPU_LINUX,
        "times faster than the fastest peer that counts or has epochs",
        hosted.and_then(|pair| Some(report.fastest_peer()? / pair.alone())),
        AtLeast(1.0),
    );
    ask(
        names::PER_CPU_LINUX,
        &scaled,
        scaling(hosted),
        AtLeast(SCALING * cpus),
    );
    ask(
        names::PER_CPU_LINUX,
        &format!("barriers to close {MANY} objects together"),
        report
            .batches
            .iter()
            .find(|batch| batch.kind == names::PER_CPU_LINUX && batch.objects == MANY)
            .and_then(|batch| Some(batch.barriers? as f64)),
        AtMost(2.0),
    );
    ask(
        names::CACHE_AWARE,
        "pair to that of the bare instructions",
        cache_aware.and_then(|pair| median(pair.to_locked)),
        AtMost(1.1),
    );
    ask(
        names::CACHE_AWARE,
        "times faster than Windows' shape",
        windows(cache_aware),
        AtLeast(1.5),
    );
    ask(
        names::CACHE_AWARE,
        &scaled,
        scaling(cache_aware),
        AtLeast(SCALING * cpus),
    );
    ask(
        names::CACHE_AWARE,
        "close + drain of 64 idle slots to one bare pass",
        report
            .teardown(names::CACHE_AWARE, 64, false)
            .and_then(|teardown| median(teardown.to_limit)),
        AtMost(1.2),
    );
    all
}

/// After how many pairs the kind with the cheaper pair has earned what its close costs more.
#[derive(Debug, Serialize)]
pub struct BreakEven {
    /// Whether all other CPUs use the object when it is closed.
    pub loaded: bool,
    /// Pairs per close. Below, the cache-aware kind is cheaper altogether; above, the per-CPU kind.
    pub pairs: f64,
}

/// The per-CPU kind against the cache-aware kind with a slot per CPU, both on `HostPlatform`, whose
/// wake-up of waiters is part of a close.
#[must_use]
pub fn break_even(report: &Report) -> Vec<BreakEven> {
    let pairs = |loaded| {
        let slots = report.machine.cpus.next_power_of_two();
        let close = |kind| Some(report.teardown(kind, slots, loaded)?.ns.median);
        let pair = |name| Some(report.pair(name)?.alone());
        let dearer = close(names::PER_CPU_LINUX)? - close(names::CACHE_AWARE_HOSTED)?;
        let saved = pair(names::CACHE_AWARE_HOSTED)? - pair(names::PER_CPU_LINUX)?;
        (saved > 0.0).then_some(BreakEven {
            loaded,
            pairs: (dearer / saved).max(0.0),
        })
    };
    [false, true].into_iter().filter_map(pairs).collect()
}

impl Report {
    fn pair(&self, name: &str) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.name == name)
    }

    fn teardown(
        &self,
        kind: &str,
        slots: usize,
        loaded: bool,
    ) -> Option<&crate::teardown::Teardown> {
        self.teardowns
            .iter()
            .find(|line| (line.kind, line.slots, line.loaded) == (kind, slots, loaded))
    }

    /// Its pair, alone, in nanoseconds. Not liburcu: a read section of RCU counts no user of the object
    /// and marks no epoch. It is about as fast as ours.
    fn fastest_peer(&self) -> Option<f64> {
        self.pairs
            .iter()
            .filter(|pair| pair.group == Group::Peer && !pair.name.starts_with("liburcu"))
            .map(Pair::alone)
            .min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Cost;
    use crate::teardown::Teardown;
    use crate::{Effort, Machine};

    fn exactly(value: f64) -> Spread {
        Spread::of([value]).expect("a value")
    }

    fn pair(name: &'static str, group: Group, ns: f64) -> Pair {
        Pair {
            name,
            group,
            memory: None,
            costs: vec![Cost {
                threads: 1,
                ns: exactly(ns),
            }],
            scaling: Some(exactly(1.9)),
            to_locked: None,
            to_unlocked: Some(exactly(1.4)),
            windows_to_this: Some(exactly(10.0)),
        }
    }

    fn closing(kind: &'static str, ns: f64) -> Teardown {
        Teardown {
            kind,
            slots: 2,
            loaded: false,
            ns: exactly(ns),
            p99_ns: exactly(ns),
            to_limit: None,
        }
    }

    fn report() -> Report {
        Report {
            machine: Machine {
                cpus: 2,
                ..Machine::here()
            },
            effort: Effort {
                rounds: 1,
                millis: 1,
            },
            disturbed_percent: 0.0,
            pairs: vec![
                pair(names::PER_CPU, Group::Ours, 1.0),
                pair(names::PER_CPU_LINUX, Group::Ours, 2.0),
                pair(names::CACHE_AWARE_HOSTED, Group::Ours, 12.0),
                pair("slow", Group::Peer, 9.0),
                pair("fast", Group::Peer, 3.0),
                pair("no peer", Group::Limit, 0.5),
            ],
            missing: Vec::new(),
            teardowns: vec![
                closing(names::PER_CPU_LINUX, 5_030.0),
                closing(names::CACHE_AWARE_HOSTED, 30.0),
            ],
            batches: Vec::new(),
            break_even: Vec::new(),
            criteria: Vec::new(),
        }
    }

    fn verdict(who: &str, what: &str) -> Option<bool> {
        let all = criteria(&report());
        let mut found = all
            .iter()
            .filter(|criterion| criterion.what.starts_with(who) && criterion.what.contains(what));
        let only = found.next().expect("there is such a criterion");
        assert!(found.next().is_none(), "{what} is not the only one");
        only.met
    }

    #[test]
    fn what_lies_on_the_bound_is_met_and_what_lies_beyond_is_not() {
        assert_eq!(verdict(names::PER_CPU, "bare"), Some(false));
        assert_eq!(verdict(names::PER_CPU, "Windows"), Some(true));
        assert_eq!(verdict(names::PER_CPU, "throughput"), Some(true));
        assert_eq!(verdict(names::PER_CPU_LINUX, "pair, ns"), Some(true));
        assert_eq!(
            verdict(names::PER_CPU_LINUX, "fastest peer that counts"),
            Some(true)
        );
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        assert_eq!(verdict(names::PER_CPU_LINUX, "barriers"), None);
        assert_eq!(verdict(names::CACHE_AWARE, "64 idle slots"), None);
    }

    #[test]
    fn a_dearer_close_is_earned_by_cheaper_pairs() {
        let even = break_even(&report());
        assert_eq!(even.len(), 1);
        assert!(!even[0].loaded);
        // 5,000 ns more a close, 10 ns less a pair.
        assert_eq!(even[0].pairs, 500.0);
    }
}
