//! What `rundown` is to reach on any machine, beside what it reached in this run.

use serde::Serialize;

use super::{Pair, Report};
use crate::creation::LIVE;
use crate::{Group, Spread, names};

/// One thing to reach.
#[derive(Debug, Serialize)]
pub struct Criterion {
    /// Of which variant, and what of it.
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

const TO_BARE: &str = "pair to that of the bare instructions";
const TO_WINDOWS: &str = "times faster than Windows' shape";

/// All of them, in the order in which they matter.
#[must_use]
pub fn criteria(report: &Report) -> Vec<Criterion> {
    let mut all = Vec::new();
    per_cpu(report, &mut all);
    hosted(report, &mut all);
    cache_aware(report, &mut all);
    many(report, &mut all);
    owners(report, &mut all);
    all
}

fn ask(
    all: &mut Vec<Criterion>,
    subject: &str,
    what: &str,
    measured: impl Into<Option<f64>>,
    bound: Bound,
) {
    let measured = measured.into();
    all.push(Criterion {
        what: format!("{subject}: {what}"),
        measured,
        bound,
        met: measured.map(|measured| bound.holds(measured)),
    });
}

fn median(spread: Option<Spread>) -> Option<f64> {
    spread.map(|spread| spread.median)
}

/// Throughput grows with the CPUs.
fn scales(report: &Report, all: &mut Vec<Criterion>, name: &str) {
    let cpus = report.machine.cpus as f64;
    let what = format!("throughput of {cpus} threads to that of one");
    let scaling = report.pair(name).and_then(|pair| median(pair.scaling));
    ask(all, name, &what, scaling, Bound::AtLeast(SCALING * cpus));
}

fn per_cpu(report: &Report, all: &mut Vec<Criterion>) {
    let pair = report.pair(names::PER_CPU);
    let bare = pair.and_then(|pair| median(pair.to_unlocked));
    let windows = pair.and_then(|pair| median(pair.windows_to_this));
    ask(all, names::PER_CPU, TO_BARE, bare, Bound::AtMost(1.3));
    ask(
        all,
        names::PER_CPU,
        TO_WINDOWS,
        windows,
        Bound::AtLeast(10.0),
    );
    scales(report, all, names::PER_CPU);
}

fn hosted(report: &Report, all: &mut Vec<Criterion>) {
    let name = names::PER_CPU_LINUX;
    let pair = report.pair(name).map(Pair::alone);
    ask(all, name, "pair, ns", pair, Bound::AtMost(1.2));
    ask(
        all,
        name,
        "times faster than the fastest peer that counts or has epochs",
        pair.and_then(|pair| Some(report.fastest_peer()? / pair)),
        Bound::AtLeast(1.0),
    );
    scales(report, all, name);
    let barriers = report.batch(name, MANY).and_then(|batch| batch.barriers);
    ask(
        all,
        name,
        &format!("barriers to close {MANY} objects together"),
        barriers.map(|barriers| barriers as f64),
        Bound::AtMost(2.0),
    );
}

fn cache_aware(report: &Report, all: &mut Vec<Criterion>) {
    let name = names::CACHE_AWARE;
    let pair = report.pair(name);
    let bare = pair.and_then(|pair| median(pair.to_locked));
    let windows = pair.and_then(|pair| median(pair.windows_to_this));
    ask(all, name, TO_BARE, bare, Bound::AtMost(1.1));
    ask(all, name, TO_WINDOWS, windows, Bound::AtLeast(1.5));
    scales(report, all, name);
    ask(
        all,
        name,
        "close + drain of 64 idle slots to one bare pass",
        report
            .teardown(name, 64, false)
            .and_then(|teardown| median(teardown.to_other)),
        Bound::AtMost(1.2),
    );
}

/// Users of many objects.
fn many(report: &Report, all: &mut Vec<Criterion>) {
    let used = |name, objects| report.used(name, objects);
    ask(
        all,
        names::PER_CPU_COMPACT,
        "10,000 objects, to crossbeam",
        used(names::PER_CPU_COMPACT, 10_000).and_then(|line| median(line.to_crossbeam)),
        Bound::AtMost(0.8),
    );
    ask(
        all,
        names::PER_CPU_COMPACT,
        "50,000 objects, to Arc",
        used(names::PER_CPU_COMPACT, 50_000).and_then(|line| median(line.to_arc)),
        Bound::AtMost(1.2),
    );
    ask(
        all,
        names::TWO_SLOTS_COMPACT,
        "10,000 objects, to Arc",
        used(names::TWO_SLOTS_COMPACT, 10_000).and_then(|line| median(line.to_arc)),
        Bound::AtMost(1.3),
    );
}

/// Their owners: a close makes no system call if nothing waits; making an object does not depend on
/// how many there are.
fn owners(report: &Report, all: &mut Vec<Criterion>) {
    for name in [names::PLAIN_HOSTED, names::CACHE_AWARE_HOSTED] {
        let slots = report.machine.cpus.next_power_of_two();
        let one = report.teardown(name, slots, false);
        ask(
            all,
            name,
            "close + drain, to the same with a wake-up that does nothing",
            one.and_then(|teardown| median(teardown.to_other)),
            Bound::AtMost(1.3),
        );
        let many = report.batch(name, MANY);
        ask(
            all,
            name,
            &format!("the same for {MANY} objects closed together"),
            many.and_then(|batch| median(batch.together_to_other)),
            Bound::AtMost(1.3),
        );
    }
    let [few, .., most] = LIVE;
    let grows = |of: fn(&crate::creation::Creation) -> Spread| {
        let at = |live| report.creations.iter().find(|line| line.live == live);
        Some(of(at(most)?).median / of(at(few)?).median)
    };
    ask(
        all,
        names::PER_CPU_LINUX,
        &format!("making one beside {most} others, to the same beside {few}"),
        grows(|line| line.ns),
        Bound::AtMost(2.0),
    );
    ask(
        all,
        names::PER_CPU_LINUX,
        "the same where others, anywhere among them, were dropped before",
        grows(|line| line.in_holes_ns),
        Bound::AtMost(2.0),
    );
}

impl Report {
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
pub(super) mod tests {
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
            to_other: None,
        }
    }

    pub(in crate::report) fn report() -> Report {
        let machine = Machine {
            cpus: 2,
            ..Machine::here()
        };
        let effort = Effort {
            rounds: 1,
            millis: 1,
        };
        Report {
            pairs: vec![
                pair(names::PER_CPU, Group::Ours, 1.0),
                pair(names::PER_CPU_LINUX, Group::Ours, 1.0),
                pair(names::CACHE_AWARE_HOSTED, Group::Ours, 11.0),
                pair("slow", Group::Peer, 9.0),
                pair("fast", Group::Peer, 3.0),
                pair("no peer", Group::Limit, 0.5),
            ],
            teardowns: vec![
                closing(names::PER_CPU_LINUX, 5_030.0),
                closing(names::CACHE_AWARE_HOSTED, 30.0),
            ],
            ..Report::new(machine, effort)
        }
    }

    fn verdict(subject: &str, what: &str) -> Option<bool> {
        let all = criteria(&report());
        let mut found = all.iter().filter(|criterion| {
            criterion.what.starts_with(subject) && criterion.what.contains(what)
        });
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
}
