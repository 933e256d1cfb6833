//! What the owner of many objects pays: closing and draining them all.

use std::sync::Arc;

use serde::Serialize;

use crate::statistics::quantile;
use crate::teardown::{Closable, Kind, SAMPLES, time};
use crate::{Effort, Spread, Workers};

/// One line: many idle objects are closed and drained, with a slot per CPU.
#[derive(Debug, Serialize)]
pub struct Batch {
    /// [`Kind::name`].
    pub kind: &'static str,
    /// How many.
    pub objects: usize,
    /// First all are closed, then all are waited for: nanoseconds per object.
    pub together_ns: Spread,
    /// To that of [`Kind::beside`], for as many objects, in the same rounds.
    pub together_to_other: Option<Spread>,
    /// The most barriers that any of those teardowns took, for all objects; `None` if the kind needs none.
    pub barriers: Option<u64>,
    /// Each is closed and waited for before the next: nanoseconds per object.
    pub one_by_one_ns: Spread,
}

/// How many objects are closed at once.
pub const BATCHES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// Closes and drains many objects of every kind, by one CPU.
pub fn batches(workers: &Workers, kinds: &[Kind], effort: Effort) -> Vec<Batch> {
    struct Case {
        kind: &'static str,
        beside: Option<&'static str>,
        count: usize,
        objects: Arc<dyn Closable>,
        barriers: Option<fn() -> u64>,
        most_barriers: u64,
        together_ns: Vec<f64>,
        one_by_one_ns: Vec<f64>,
    }
    let slots = workers.count();
    let mut cases: Vec<Case> = Vec::new();
    for kind in kinds.iter().filter(|kind| !kind.limit) {
        cases.extend(BATCHES.map(|count| Case {
            kind: kind.name,
            beside: kind.beside,
            count,
            objects: (kind.make)(count, slots).into(),
            barriers: kind.barriers,
            most_barriers: 0,
            together_ns: Vec::new(),
            one_by_one_ns: Vec::new(),
        }));
    }
    for _ in 0..effort.rounds {
        for case in &mut cases {
            let (objects, count, barriers) = (Arc::clone(&case.objects), case.count, case.barriers);
            for round in workers.run(1, move || one_round(&*objects, count, barriers)) {
                case.together_ns.push(round.together_ns / count as f64);
                case.one_by_one_ns.push(round.one_by_one_ns / count as f64);
                case.most_barriers = case.most_barriers.max(round.most_barriers);
            }
        }
    }
    let line = |case: &Case| {
        let other = cases
            .iter()
            .find(|other| Some(other.kind) == case.beside && other.count == case.count);
        Some(Batch {
            kind: case.kind,
            objects: case.count,
            barriers: case.barriers.map(|_| case.most_barriers),
            together_ns: Spread::of(case.together_ns.iter().copied())?,
            together_to_other: other
                .and_then(|other| Spread::of_ratios(&case.together_ns, &other.together_ns)),
            one_by_one_ns: Spread::of(case.one_by_one_ns.iter().copied())?,
        })
    };
    cases.iter().filter_map(line).collect()
}

struct Round {
    together_ns: f64,
    one_by_one_ns: f64,
    /// Of all teardowns together.
    most_barriers: u64,
}

fn one_round(objects: &dyn Closable, count: usize, barriers: Option<fn() -> u64>) -> Round {
    let barriers = || barriers.map_or(0, |count| count());
    let mut most_barriers = 0;
    let together_ns = median(objects, count, || {
        let before = barriers();
        let ns = objects.tear_down_together();
        most_barriers = most_barriers.max(barriers() - before);
        ns
    });
    let one_by_one_ns = median(objects, count, || time(|| objects.tear_down()));
    Round {
        together_ns,
        one_by_one_ns,
        most_barriers,
    }
}

/// The median time of a teardown of all these objects, which are opened again after each. A few
/// objects are torn down many times; never once only, as the first time finds caches cold.
fn median(objects: &dyn Closable, count: usize, mut teardown: impl FnMut() -> f64) -> f64 {
    let times = (2_000 / count).clamp(3, SAMPLES);
    let mut samples: Vec<f64> = (0..times)
        .map(|_| {
            let sample = teardown() - time(|| ());
            objects.reopen();
            sample.max(0.0)
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    quantile(&samples, 0.5)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::teardown::tests::{EFFORT, KINDS};

    #[test]
    fn every_batch_is_closed() {
        let workers = Workers::start().expect("threads");
        let lines = batches(&workers, &KINDS, EFFORT);
        let sizes: Vec<usize> = lines.iter().map(|line| line.objects).collect();
        assert_eq!(sizes, BATCHES);
        assert!(lines.iter().all(|line| line.together_ns.median > 0.0));
    }

    static BARRIERS: AtomicU64 = AtomicU64::new(0);

    /// Takes two barriers together, and three one by one.
    struct Counting;

    impl Closable for Counting {
        fn touch(&self) {}

        fn tear_down(&self) {
            BARRIERS.fetch_add(3, Ordering::Relaxed);
        }

        fn tear_down_together(&self) -> f64 {
            BARRIERS.fetch_add(2, Ordering::Relaxed);
            1.0
        }

        fn reopen(&self) {}
    }

    #[test]
    fn barriers_are_those_of_one_teardown_together() {
        let workers = Workers::start().expect("threads");
        let kind = Kind {
            name: "counting",
            make: |_, _| Box::new(Counting),
            barriers: Some(|| BARRIERS.load(Ordering::Relaxed)),
            beside: None,
            limit: false,
        };
        let lines = batches(&workers, &[kind], EFFORT);
        assert_eq!(lines.len(), BATCHES.len());
        assert!(lines.iter().all(|line| line.barriers == Some(2)));
    }
}
