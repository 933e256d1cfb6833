//! One measurement: so many threads use one object at once, each in a loop of its own.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, hint, io};

use crate::{Rounds, Workers};

/// An object that threads use, each by calling this: it readies what the thread needs, and hands
/// its loop to the stopwatch.
pub type Object = Box<dyn Fn(&mut Stopwatch<'_>) + Send + Sync>;

/// The setup of all measurements: the threads, how often each is made, and how long each contender
/// runs in a round, with each number of threads.
pub struct Bench {
    pub(crate) workers: Workers,
    pub(crate) rounds: usize,
    millis: u64,
    measured: Cell<u32>,
    disturbed: Cell<u32>,
}

/// Between two looks at the clock. At 0.7 ns a pair they are 6 us apart: a look takes under 1 % of
/// it.
const BATCH: u64 = 8192;

/// How often a measurement that was disturbed is repeated in its round.
const ATTEMPTS: usize = 10;

impl Bench {
    pub fn new(rounds: usize, millis: u64) -> io::Result<Self> {
        let (workers, measured, disturbed) = (Workers::new()?, Cell::new(0), Cell::new(0));
        Ok(Self { workers, rounds, millis, measured, disturbed })
    }

    pub fn threads(&self) -> usize {
        self.workers.count()
    }

    /// How many figures, in percent, are of a thread that another process interrupted, and again
    /// whenever it was measured anew. If they are many, the machine was too busy to measure on.
    pub fn disturbed_percent(&self) -> f64 {
        100.0 * f64::from(self.disturbed.get()) / f64::from(self.measured.get().max(1))
    }

    /// The time of a pair in each of so many threads, in nanoseconds.
    pub fn pair(&self, threads: usize, make: impl Fn() -> Object) -> f64 {
        self.undisturbed(|| measure(&self.workers, &make(), threads, self.millis))
    }

    /// The result of `attempt`, repeated a few times if it says that a thread was interrupted.
    pub(crate) fn undisturbed<T>(&self, mut attempt: impl FnMut() -> (T, bool)) -> T {
        self.measured.set(self.measured.get() + 1);
        let (mut result, mut disturbed) = attempt();
        for _ in 1..ATTEMPTS {
            if disturbed {
                (result, disturbed) = attempt();
            }
        }
        self.disturbed.set(self.disturbed.get() + u32::from(disturbed));
        result
    }
}

/// The time of a pair in each of so many threads, and whether one was interrupted.
fn measure(workers: &Workers, object: &Object, threads: usize, millis: u64) -> (f64, bool) {
    let (missing, finished) = (AtomicUsize::new(threads), AtomicBool::new(false));
    let laps = workers.run(threads, || {
        let mut watch = Stopwatch {
            missing: &missing,
            finished: &finished,
            time: Duration::from_millis(millis),
            pairs_per_ns: f64::NAN,
            interrupted: false,
        };
        object(&mut watch);
        (watch.pairs_per_ns, watch.interrupted)
    });
    let sum: f64 = laps.iter().map(|(pairs_per_ns, _)| pairs_per_ns).sum();
    let ns = laps.len() as f64 / sum;
    (ns, laps.iter().any(|(_, interrupted)| *interrupted))
}

/// How often this thread had to leave its CPU to another since it was started; 0 if the system does
/// not say (proc(5), /proc/pid/status).
pub(crate) fn interruptions() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// In nanoseconds, with what it takes to read the clock.
pub fn time(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_nanos() as f64
}

/// The median of so many samples.
pub(crate) fn median(samples: usize, sample: impl FnMut() -> f64) -> f64 {
    let samples = std::iter::repeat_with(sample).take(samples);
    Rounds(samples.collect()).median().unwrap_or(f64::NAN)
}

/// Times one thread's loop, from when all threads are ready until the first has run for long
/// enough.
pub struct Stopwatch<'a> {
    /// How many threads are not ready as yet.
    missing: &'a AtomicUsize,
    /// Whether the first has run for so long.
    finished: &'a AtomicBool,
    time: Duration,
    /// The result.
    pairs_per_ns: f64,
    interrupted: bool,
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

    /// Measures a loop that does as many pairs as its argument says.
    pub fn batches(&mut self, mut batch: impl FnMut(u64)) {
        // Caches, page tables, and what a library makes when a thread comes for the first time.
        batch(BATCH);
        // Before the start: a thread that misses it, because another process has its CPU, measures
        // alone.
        let before = interruptions();
        // Relaxed, here and below: pairs with nothing, only time is kept by it.
        self.missing.fetch_sub(1, Ordering::Relaxed);
        while self.missing.load(Ordering::Relaxed) != 0 {
            hint::spin_loop();
        }
        let (leads, began) = (crate::cpu() == 0, Instant::now());
        let mut pairs = 0;
        loop {
            batch(BATCH);
            pairs += BATCH;
            if leads && began.elapsed() >= self.time {
                self.finished.store(true, Ordering::Relaxed);
            }
            if self.finished.load(Ordering::Relaxed) {
                break;
            }
        }
        self.pairs_per_ns = pairs as f64 / began.elapsed().as_nanos() as f64;
        self.interrupted = interruptions() > before;
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_pair_takes_as_long_as_it_takes() {
        let workers = Workers::new().expect("CPUs");
        let object: Object = Box::new(|watch| {
            watch.batches(|pairs| thread::sleep(Duration::from_micros(pairs)));
        });
        let (ns, _) = measure(&workers, &object, workers.count(), 20);
        // A sleep lasts as long as was asked for, or longer.
        assert!(ns >= 1000.0, "{ns} ns");
    }
}
