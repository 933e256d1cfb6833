//! What the owner pays: closing an object and draining it.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use rundown::{Rundown, Spin, Variant, WaitOutcome};
use serde::Serialize;

use crate::pairs::{ATTEMPTS, interruptions};
use crate::statistics::quantile;
use crate::{Effort, Spread, Workers};

/// A kind of object, for the tables of teardowns.
pub struct Kind {
    /// As the table shows it.
    pub name: &'static str,
    /// Makes so many open objects, each with so many slots (where the kind has slots).
    pub make: fn(objects: usize, slots: usize) -> Box<dyn Closable>,
    /// How many barriers there have been, for the kind that closes by barriers.
    pub barriers: Option<fn() -> u64>,
    /// What its times are compared with: [`Kind::name`] of another.
    pub beside: Option<&'static str>,
    /// Whether this is the bare instructions, which are never in use.
    pub limit: bool,
}

/// Objects that can be torn down.
pub trait Closable: Send + Sync {
    /// Takes protection of the first and gives it back, if it is granted.
    fn touch(&self);
    /// Closes and drains one after the other.
    fn tear_down(&self);
    /// Closes all, then drains all; returns how many nanoseconds that took.
    fn tear_down_together(&self) -> f64;
    /// Opens the drained objects again.
    fn reopen(&self);
}

impl<V: Variant> Closable for Vec<Rundown<V>> {
    fn touch(&self) {
        drop(self[0].try_acquire());
    }

    fn tear_down(&self) {
        self.iter().for_each(|object| {
            object.close();
            drain(object);
        });
    }

    fn tear_down_together(&self) -> f64 {
        let mut objects: Vec<&Rundown<V>> = self.iter().collect();
        time(|| {
            Rundown::close_all(&mut objects).expect("barriers are legal here");
            self.iter().for_each(drain);
        })
    }

    fn reopen(&self) {
        for object in self {
            object.reinit().expect("it has drained");
        }
    }
}

fn drain<V: Variant>(closed: &Rundown<V>) {
    let outcome = closed.wait(&Spin);
    assert_eq!(outcome, WaitOutcome::Drained, "nobody cancels");
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
    /// To those of [`Kind::beside`], idle, with as many slots, in the same rounds.
    pub to_other: Option<Spread>,
}

/// The numbers of slots that are measured.
pub const SLOTS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Teardowns of one object in one round.
pub(crate) const SAMPLES: usize = 200;

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
            let samples = one_round(workers, case.kind, case.slots, case.loaded);
            case.medians.push(quantile(&samples, 0.5));
            case.p99s.push(quantile(&samples, 0.99));
        }
    }
    let line = |case: &Case<'_>| {
        let other = cases
            .iter()
            .find(|other| Some(other.kind.name) == case.kind.beside && other.slots == case.slots);
        Some(Teardown {
            kind: case.kind.name,
            slots: case.slots,
            loaded: case.loaded,
            ns: Spread::of(case.medians.iter().copied())?,
            p99_ns: Spread::of(case.p99s.iter().copied())?,
            to_other: other.and_then(|other| Spread::of_ratios(&case.medians, &other.medians)),
        })
    };
    cases.iter().filter_map(line).collect()
}

/// Sorted times of [`SAMPLES`] teardowns on the first CPU. Under load, measured anew a few times if a
/// thread was interrupted: an object whose user does not run is idle.
fn one_round(workers: &Workers, kind: &Kind, slots: usize, loaded: bool) -> Vec<f64> {
    let mut attempt = 1;
    loop {
        let (samples, disturbed) = one_attempt(workers, (kind.make)(1, slots), loaded);
        if !loaded || !disturbed || attempt == ATTEMPTS {
            return samples;
        }
        attempt += 1;
    }
}

/// The samples, and whether a thread was interrupted.
fn one_attempt(workers: &Workers, object: Box<dyn Closable>, loaded: bool) -> (Vec<f64>, bool) {
    let (users, finished) = (AtomicUsize::new(0), AtomicBool::new(false));
    let threads = if loaded { workers.count() } else { 1 };
    let per_thread = workers.run(threads, move || {
        let before = interruptions();
        let mut samples = Vec::new();
        if crate::cpu() == 0 {
            // Relaxed, here and below: pairs with nothing, it only says when to start and to stop.
            while users.load(Ordering::Relaxed) < threads - 1 {
                hint::spin_loop();
            }
            for _ in 0..SAMPLES {
                let clock = time(|| ());
                let teardown = time(|| object.tear_down());
                samples.push((teardown - clock).max(0.0));
                object.reopen();
            }
            samples.sort_by(f64::total_cmp);
            finished.store(true, Ordering::Relaxed);
        } else {
            users.fetch_add(1, Ordering::Relaxed);
            while !finished.load(Ordering::Relaxed) {
                object.touch();
            }
        }
        (samples, interruptions() > before)
    });
    let disturbed = per_thread.iter().any(|(_, interrupted)| *interrupted);
    let samples = per_thread.into_iter().flat_map(|(samples, _)| samples);
    (samples.collect(), disturbed)
}

/// In nanoseconds, with what it takes to read the clock.
pub fn time(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_nanos() as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use rundown::{HostPlatform, PlainRundown};

    use super::*;

    pub(crate) const KINDS: [Kind; 1] = [Kind {
        name: "plain",
        make: |objects, _| {
            let plain = |_| PlainRundown::<HostPlatform>::new();
            Box::new((0..objects).map(plain).collect::<Vec<_>>())
        },
        barriers: None,
        beside: Some("plain"),
        limit: false,
    }];

    pub(crate) const EFFORT: Effort = Effort {
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
        let idle = lines.iter().filter(|line| !line.loaded);
        let to_itself = idle.map(|line| line.to_other.expect("it was measured").median);
        assert!(to_itself.eq(SLOTS.map(|_| 1.0)));
    }
}
