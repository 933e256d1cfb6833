//! What the owner pays: closing an object and draining it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rundown::{Rundown, Spin, WaitOutcome};
use serde::Serialize;

use crate::statistics::quantile;
use crate::{Effort, Spread, Workers};

/// A kind of object, for the tables of teardowns.
pub struct Kind {
    /// As the table shows it.
    pub name: &'static str,
    /// Makes an open object with so many slots (where the kind has slots).
    pub make: fn(usize) -> Box<dyn Closable>,
    /// Whether this is the bare instructions, which nobody uses or waits for.
    pub limit: bool,
}

/// What a teardown is made of.
pub trait Closable: Send + Sync {
    /// Takes protection and gives it back, if it is granted.
    fn touch(&self);
    /// Refuses it from now on.
    fn close(&self);
    /// Returns when nothing is held.
    fn wait(&self);
    /// Opens the drained object again.
    fn reopen(&self);
}

impl<R: Rundown> Closable for R {
    fn touch(&self) {
        drop(self.try_acquire());
    }

    fn close(&self) {
        Rundown::close(self);
    }

    fn wait(&self) {
        let outcome = Rundown::wait(self, &Spin);
        assert_eq!(outcome, WaitOutcome::Drained, "nobody cancels");
    }

    fn reopen(&self) {
        self.reinit().expect("it has drained");
    }
}

/// One line: how long it takes to close and drain an object.
#[derive(Debug, Serialize)]
pub struct Teardown {
    /// [`Kind::name`].
    pub kind: &'static str,
    /// How many slots there were to visit.
    pub slots: usize,
    /// Whether all other CPUs used the object all the time.
    pub loaded: bool,
    /// The median teardown of each round, in nanoseconds.
    pub ns: Spread,
    /// Of 100 teardowns of a round, the second slowest.
    pub p99_ns: Spread,
    /// To the limit with as many slots, in the same rounds.
    pub to_limit: Option<Spread>,
}

/// The numbers of slots that are measured.
pub const SLOTS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Teardowns of one object in one round.
const SAMPLES: usize = 200;

/// Closes and drains objects of every kind with every number of [`SLOTS`]: alone, and where there
/// are more CPUs, while the others use them.
pub fn teardowns(workers: &Workers, kinds: &[Kind], effort: Effort) -> Vec<Teardown> {
    struct Case<'a> {
        kind: &'a Kind,
        slots: usize,
        loaded: bool,
        medians: Vec<f64>,
        p99s: Vec<f64>,
    }
    let mut cases: Vec<Case<'_>> = Vec::new();
    for loaded in [false, true] {
        for kind in kinds {
            if loaded && (kind.limit || workers.count() == 1) {
                continue;
            }
            cases.extend(SLOTS.map(|slots| Case {
                kind,
                slots,
                loaded,
                medians: Vec::new(),
                p99s: Vec::new(),
            }));
        }
    }
    for _ in 0..effort.rounds {
        for case in &mut cases {
            let samples = one_round(workers, (case.kind.make)(case.slots), case.loaded);
            case.medians.push(quantile(&samples, 0.5));
            case.p99s.push(quantile(&samples, 0.99));
        }
    }
    let line = |case: &Case<'_>| {
        let limit = cases
            .iter()
            .find(|limit| limit.kind.limit && limit.slots == case.slots);
        Some(Teardown {
            kind: case.kind.name,
            slots: case.slots,
            loaded: case.loaded,
            ns: Spread::of(case.medians.iter().copied())?,
            p99_ns: Spread::of(case.p99s.iter().copied())?,
            to_limit: limit.and_then(|limit| Spread::of_ratios(&case.medians, &limit.medians)),
        })
    };
    cases.iter().filter_map(line).collect()
}

/// Sorted times of [`SAMPLES`] teardowns on the first CPU.
fn one_round(workers: &Workers, object: Box<dyn Closable>, loaded: bool) -> Vec<f64> {
    let finished = AtomicBool::new(false);
    let threads = if loaded { workers.count() } else { 1 };
    let per_thread = workers.run(threads, move || {
        let mut samples = Vec::new();
        if crate::cpu() == 0 {
            for _ in 0..SAMPLES {
                let clock = time(|| ());
                let both = time(|| {
                    object.close();
                    object.wait();
                });
                samples.push((both - clock).max(0.0));
                object.reopen();
            }
            samples.sort_by(f64::total_cmp);
            // Relaxed, here and below: pairs with nothing, it only says when to stop.
            finished.store(true, Ordering::Relaxed);
        } else {
            while !finished.load(Ordering::Relaxed) {
                object.touch();
            }
        }
        samples
    });
    per_thread.into_iter().flatten().collect()
}

/// In nanoseconds, with what it takes to read the clock.
fn time(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_nanos() as f64
}

/// One line: many idle objects are closed and drained, with a slot per CPU.
#[derive(Debug, Serialize)]
pub struct Batch {
    /// [`Kind::name`].
    pub kind: &'static str,
    /// How many.
    pub objects: usize,
    /// First all are closed, then all are waited for: nanoseconds per object.
    pub together_ns: Spread,
    /// Each is closed and waited for before the next: nanoseconds per object.
    pub one_by_one_ns: Spread,
}

/// How many objects are closed at once.
pub const BATCHES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// Closes and drains many objects of every kind, by one CPU.
pub fn batches(workers: &Workers, kinds: &[Kind], effort: Effort) -> Vec<Batch> {
    struct Case {
        kind: &'static str,
        objects: Arc<[Box<dyn Closable>]>,
        together_ns: Vec<f64>,
        one_by_one_ns: Vec<f64>,
    }
    let slots = workers.count();
    let mut cases: Vec<Case> = Vec::new();
    for kind in kinds.iter().filter(|kind| !kind.limit) {
        cases.extend(BATCHES.map(|count| Case {
            kind: kind.name,
            objects: (0..count).map(|_| (kind.make)(slots)).collect(),
            together_ns: Vec::new(),
            one_by_one_ns: Vec::new(),
        }));
    }
    for _ in 0..effort.rounds {
        for case in &mut cases {
            let objects = Arc::clone(&case.objects);
            let count = objects.len() as f64;
            for (both, single) in workers.run(1, move || (together(&objects), one_by_one(&objects)))
            {
                case.together_ns.push(both / count);
                case.one_by_one_ns.push(single / count);
            }
        }
    }
    let line = |case: Case| {
        Some(Batch {
            kind: case.kind,
            objects: case.objects.len(),
            together_ns: Spread::of(case.together_ns)?,
            one_by_one_ns: Spread::of(case.one_by_one_ns)?,
        })
    };
    cases.into_iter().filter_map(line).collect()
}

fn together(objects: &[Box<dyn Closable>]) -> f64 {
    repeated(objects, || {
        objects.iter().for_each(|object| object.close());
        objects.iter().for_each(|object| object.wait());
    })
}

fn one_by_one(objects: &[Box<dyn Closable>]) -> f64 {
    repeated(objects, || {
        for object in objects {
            object.close();
            object.wait();
        }
    })
}

/// The median time of a teardown of all these objects, which are opened again after each. A few
/// objects are torn down many times; never once only, as the first time finds caches cold.
fn repeated(objects: &[Box<dyn Closable>], teardown: impl Fn()) -> f64 {
    let times = (2_000 / objects.len()).clamp(3, SAMPLES);
    let mut samples: Vec<f64> = (0..times)
        .map(|_| {
            let sample = time(&teardown) - time(|| ());
            objects.iter().for_each(|object| object.reopen());
            sample.max(0.0)
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    quantile(&samples, 0.5)
}

#[cfg(test)]
mod tests {
    use rundown::{HostPlatform, RundownRef};

    use super::*;

    const KINDS: [Kind; 1] = [Kind {
        name: "plain",
        make: |_| Box::new(RundownRef::<HostPlatform>::new()),
        limit: false,
    }];

    const EFFORT: Effort = Effort {
        rounds: 2,
        millis: 1,
    };

    #[test]
    fn every_number_of_slots_is_torn_down() {
        let workers = Workers::start().expect("threads");
        let lines = teardowns(&workers, &KINDS, EFFORT);
        for loaded in [false, true] {
            let slots = lines.iter().filter(|line| line.loaded == loaded);
            let slots: Vec<usize> = slots.map(|line| line.slots).collect();
            let expected = !loaded || workers.count() > 1;
            assert_eq!(slots, if expected { &SLOTS[..] } else { &[] });
        }
        assert!(lines.iter().all(|line| line.ns.median <= line.p99_ns.high));
    }

    #[test]
    fn every_batch_is_closed() {
        let workers = Workers::start().expect("threads");
        let lines = batches(&workers, &KINDS, EFFORT);
        let sizes: Vec<usize> = lines.iter().map(|line| line.objects).collect();
        assert_eq!(sizes, BATCHES);
        assert!(lines.iter().all(|line| line.together_ns.median > 0.0));
    }
}
