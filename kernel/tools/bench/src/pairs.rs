//! Rounds in which every contender runs once: pairs of acquire and release.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, hint};

use serde::Serialize;

use crate::Workers;

/// Something that can be measured.
pub struct Contender {
    /// As the table shows it.
    pub name: &'static str,
    /// Which part of the table it belongs to.
    pub group: Group,
    /// What one object takes, where that can be said.
    pub memory: Option<Memory>,
    /// Makes a new object, once a round.
    pub object: fn() -> Object,
}

/// An object that threads use, each by calling this: it readies what the thread needs, and hands its
/// loop to the stopwatch.
pub type Object = Box<dyn Fn(&mut Stopwatch<'_>) + Send + Sync>;

/// What a contender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// A variant of `rundown`.
    Ours,
    /// The same, with its feature `diagnosis`.
    Diagnosis,
    /// Another library.
    Peer,
    /// What a well-known kernel does, rebuilt here.
    Shape,
    /// The bare instructions, which nothing of their sort can beat.
    Limit,
}

/// What one object takes, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// However many CPUs there are.
    pub fixed: usize,
    /// More for each CPU.
    pub per_cpu: usize,
}

impl Memory {
    /// The same for any number of CPUs: the size of `T`.
    #[must_use]
    pub const fn of<T>() -> Self {
        Self::per_cpu::<T, ()>()
    }

    /// A `T`, and a `C` for each CPU.
    #[must_use]
    pub const fn per_cpu<T, C>() -> Self {
        Self {
            fixed: size_of::<T>(),
            per_cpu: size_of::<C>(),
        }
    }
}

/// How long to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Effort {
    /// How many rounds.
    pub rounds: usize,
    /// How long each contender runs in a round, with each number of threads, in milliseconds.
    pub millis: u64,
}

impl Effort {
    pub(crate) fn time(self) -> Duration {
        Duration::from_millis(self.millis)
    }
}

/// Between two looks at the clock. At 0.7 ns a pair they are 6 us apart: a look takes under 1 % of it.
const BATCH: u64 = 8192;

/// How often a measurement that was disturbed is repeated in its round.
pub(crate) const ATTEMPTS: usize = 10;

/// What [`pairs`](pairs()) found.
#[derive(Debug)]
pub struct Measured {
    /// Nanoseconds that a pair takes each thread: `[contender][step of Workers::steps][round]`.
    pub ns: Vec<Vec<Vec<f64>>>,
    /// How many of these figures, in percent, are of a thread that another process interrupted, and
    /// was interrupted again whenever it was measured anew. If they are many, the machine was too
    /// busy to measure on.
    pub disturbed_percent: f64,
}

/// Measures each contender with each number of threads, so many rounds.
pub fn pairs(
    workers: &Workers,
    contenders: &[Contender],
    effort: Effort,
    mut progress: impl FnMut(usize),
) -> Measured {
    let steps = workers.steps();
    let mut disturbed = 0;
    let mut ns = vec![vec![Vec::new(); steps.len()]; contenders.len()];
    for round in 0..effort.rounds {
        progress(round);
        // Forwards and backwards in turn: none is always first after the same neighbour.
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for contender in order {
            for (step, &threads) in steps.iter().enumerate() {
                let make = contenders[contender].object;
                let result = measure_undisturbed(workers, &make, threads, effort.time());
                disturbed += usize::from(result.disturbed);
                ns[contender][step].push(result.ns);
            }
        }
    }
    let all = effort.rounds * contenders.len() * steps.len();
    Measured {
        ns,
        disturbed_percent: 100.0 * disturbed as f64 / all.max(1) as f64,
    }
}

pub(crate) struct Measurement {
    pub(crate) ns: f64,
    disturbed: bool,
}

/// What a pair takes each of so many threads; measured anew, with a new object, a few times, if another
/// process interrupts a thread.
pub(crate) fn measure_undisturbed(
    workers: &Workers,
    make: &dyn Fn() -> Object,
    threads: usize,
    time: Duration,
) -> Measurement {
    let mut result = measure(workers, make(), threads, time);
    for _ in 1..ATTEMPTS {
        if result.disturbed {
            result = measure(workers, make(), threads, time);
        }
    }
    result
}

/// What a pair takes each of so many threads.
fn measure(workers: &Workers, object: Object, threads: usize, time: Duration) -> Measurement {
    let start = Arc::new(StartingLine {
        missing: AtomicUsize::new(threads),
        finished: AtomicBool::new(false),
        time,
    });
    let results = workers.run(threads, move || {
        let mut stopwatch = Stopwatch {
            start: &start,
            leads: crate::cpu() == 0,
            result: None,
        };
        object(&mut stopwatch);
        stopwatch.result.expect("it was handed a loop")
    });
    let counted: Vec<f64> = results.iter().filter_map(|lap| lap.pairs_per_ns).collect();
    Measurement {
        ns: counted.len() as f64 / counted.iter().sum::<f64>(),
        disturbed: results.iter().any(|result| result.interruptions > 0),
    }
}

/// What one thread did.
struct Lap {
    /// `None` if it only disturbed the others.
    pairs_per_ns: Option<f64>,
    interruptions: u64,
}

/// How often this thread had to leave its CPU to another since it was started; 0 if the system does
/// not tell (proc(5), /proc/pid/status).
pub(crate) fn interruptions() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// What the threads of one measurement share.
struct StartingLine {
    missing: AtomicUsize,
    finished: AtomicBool,
    time: Duration,
}

/// Times one thread's loop, from when all threads are ready until the first has run for long enough.
pub struct Stopwatch<'a> {
    start: &'a StartingLine,
    leads: bool,
    result: Option<Lap>,
}

impl Stopwatch<'_> {
    /// Measures `pair`: one acquire, one release.
    #[inline]
    pub fn pairs(&mut self, mut pair: impl FnMut()) {
        self.batches(|pairs| {
            for _ in 0..pairs {
                pair();
            }
        });
    }

    /// Measures a loop that does as many pairs as it is told.
    pub fn batches(&mut self, mut batch: impl FnMut(u64)) {
        // Caches, page tables, and what a library makes when a thread comes for the first time.
        batch(BATCH);
        // Before the start: whoever misses it, because another process has its CPU, measures alone.
        let before = interruptions();
        self.start.meet();
        let began = Instant::now();
        let mut pairs = 0;
        loop {
            batch(BATCH);
            pairs += BATCH;
            if self.start.is_over(self.leads, began) {
                break;
            }
        }
        let ns = began.elapsed().as_nanos() as f64;
        self.result = Some(Lap {
            pairs_per_ns: Some(pairs as f64 / ns),
            interruptions: interruptions() - before,
        });
    }

    /// Does something as long as the others are measured, and is not measured itself. Not for the thread
    /// that is there alone.
    pub fn disturbs(&mut self, disturb: impl FnMut()) {
        self.pairs(disturb);
        if let Some(lap) = &mut self.result {
            lap.pairs_per_ns = None;
        }
    }
}

impl StartingLine {
    /// Returns when all threads are here.
    fn meet(&self) {
        // Relaxed, here and below: pairs with nothing, only time is kept by it.
        self.missing.fetch_sub(1, Ordering::Relaxed);
        while self.missing.load(Ordering::Relaxed) != 0 {
            hint::spin_loop();
        }
    }

    /// Whether the time is over; one thread, who `leads`, looks at the clock.
    fn is_over(&self, leads: bool, began: Instant) -> bool {
        if leads && began.elapsed() >= self.time {
            self.finished.store(true, Ordering::Relaxed);
        }
        self.finished.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_pair_takes_as_long_as_it_takes() {
        let workers = Workers::start().expect("threads");
        let sleepy: Object = Box::new(|watch| {
            watch.batches(|pairs| thread::sleep(Duration::from_micros(pairs)));
        });
        let time = Duration::from_millis(20);
        let ns = measure(&workers, sleepy, workers.count(), time).ns;
        // A sleep lasts as long as was asked for, or longer.
        assert!(ns >= 1000.0, "{ns} ns");
    }

    #[test]
    fn a_thread_that_disturbs_is_not_measured() {
        let workers = Workers::start().expect("threads");
        let object: Object = Box::new(|watch| {
            if crate::cpu() == 0 {
                watch.batches(|pairs| thread::sleep(Duration::from_micros(pairs)));
            } else {
                watch.disturbs(|| ());
            }
        });
        let time = Duration::from_millis(20);
        let ns = measure(&workers, object, workers.count(), time).ns;
        assert!(ns >= 1000.0, "{ns} ns");
    }

    #[test]
    fn every_round_measures_every_contender() {
        let workers = Workers::start().expect("threads");
        let nothing = || Contender {
            name: "nothing",
            group: Group::Limit,
            memory: None,
            object: || Box::new(|watch| watch.pairs(|| ())),
        };
        let effort = Effort {
            rounds: 3,
            millis: 1,
        };
        let measured = pairs(&workers, &[nothing(), nothing()], effort, |_| ());
        assert_eq!(measured.ns.len(), 2);
        for steps in measured.ns {
            assert_eq!(steps.len(), workers.steps().len());
            assert!(steps.iter().all(|rounds| rounds.len() == 3));
        }
    }
}
