//! One measurement: so many threads use one object at once, each in a loop of its own.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, hint, io};

use crate::{Samples, Workers};

/// Pairs in a nanosecond (or another result of a thread), and whether another process interrupted
/// the thread.
pub type Lap<T = f64> = (T, bool);

/// An object that threads use, each by calling this: it readies what the thread needs, and hands
/// its loop to the stopwatch.
pub type Object = Box<dyn Fn(&Stopwatch) -> Lap + Send + Sync>;

/// Makes one anew for each measurement.
pub type MakeObject = Box<dyn Fn() -> Object>;

/// Objects of a type, and what each thread does with one.
pub fn shared<T: Send + Sync + 'static>(
    make: impl Fn() -> T + 'static,
    uses: impl Fn(&T, &Stopwatch) -> Lap + Copy + Send + Sync + 'static,
) -> MakeObject {
    Box::new(move || {
        let object = make();
        Box::new(move |watch| uses(&object, watch))
    })
}

/// The setup of all measurements: the threads, how often each is made, and how long each contender
/// runs in a round, with each number of threads.
pub struct Bench {
    pub workers: Workers,
    pub(crate) rounds: usize,
    time: Duration,
    /// For each figure so far, whether it is of a thread that another process interrupted, and
    /// again whenever it was measured anew.
    disturbed: RefCell<Vec<bool>>,
}

impl Bench {
    pub fn new(rounds: usize, millis: u64) -> io::Result<Self> {
        let (workers, time) = (Workers::new()?, Duration::from_millis(millis));
        Ok(Self { workers, rounds, time, disturbed: RefCell::default() })
    }

    /// How many figures were disturbed, in percent. If they are many, the machine was too busy to
    /// measure on.
    pub fn disturbed_percent(&self) -> f64 {
        let figures = self.disturbed.borrow();
        let disturbed = figures.iter().filter(|is_disturbed| **is_disturbed).count();
        100.0 * disturbed as f64 / figures.len().max(1) as f64
    }

    /// The time of a pair in each of so many threads, in nanoseconds.
    pub fn pair(&self, threads: usize, make: impl Fn() -> Object) -> f64 {
        let pairs_per_ns = self.undisturbed(threads, make, |object, watch| object(watch));
        threads as f64 / pairs_per_ns.iter().sum::<f64>()
    }

    /// The results of so many threads, each of which does `job` with the same new object. If one is
    /// interrupted, all is repeated.
    pub(crate) fn undisturbed<O: Sync, T: Send>(
        &self,
        threads: usize,
        make: impl Fn() -> O,
        job: impl Fn(&O, &Stopwatch) -> Lap<T> + Sync,
    ) -> Vec<T> {
        /// How often all is measured in a round, at most.
        const ATTEMPTS: usize = 10;
        let attempt = || -> (Vec<T>, Vec<bool>) {
            let (object, missing) = (make(), AtomicUsize::new(threads));
            let watch = Stopwatch { missing, finished: AtomicBool::new(false), time: self.time };
            self.workers.run(threads, || job(&object, &watch)).into_iter().unzip()
        };
        let (mut results, mut interrupted) = attempt();
        for _ in 1..ATTEMPTS {
            if interrupted.contains(&true) {
                (results, interrupted) = attempt();
            }
        }
        self.disturbed.borrow_mut().push(interrupted.contains(&true));
        results
    }
}

/// How often this thread had to leave its CPU to another since it was started; 0 if the system does
/// not say (proc(5), /proc/pid/status).
fn interruptions() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let count = status.split_once("nonvoluntary_ctxt_switches:").unwrap_or_default().1;
    count.lines().next().and_then(|count| count.trim().parse().ok()).unwrap_or(0)
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
    Samples(samples.collect()).median().unwrap_or(f64::NAN)
}

/// Times the loops of a measurement's threads, from when all are ready until the first has run for
/// long enough.
pub struct Stopwatch {
    /// How many threads are not ready as yet.
    missing: AtomicUsize,
    /// Whether the first thread has run for long enough.
    pub(crate) finished: AtomicBool,
    time: Duration,
}

impl Stopwatch {
    /// Measures `pair`: one acquire, one release.
    #[inline]
    pub fn pairs(&self, mut pair: impl FnMut()) -> Lap {
        // By value: so the loop has in registers what `pair` refers to.
        self.batches(move |pairs| {
            for _ in 0..pairs {
                pair();
            }
        })
    }

    /// Measures a loop that does as many pairs as its argument says.
    pub fn batches(&self, mut batch: impl FnMut(u64)) -> Lap {
        /// Between two looks at the clock. At 0.7 ns a pair they are 6 us apart: a look takes under
        /// 1 % of it.
        const BATCH: u64 = 8192;
        // Caches, page tables, and what a library makes when a thread comes for the first time.
        batch(BATCH);
        self.run(|| {
            let (leads, began) = (crate::cpu() == 0, Instant::now());
            let mut pairs = 0;
            loop {
                batch(BATCH);
                pairs += BATCH;
                if leads && began.elapsed() >= self.time {
                    self.finished.store(true, Ordering::Relaxed);
                }
                if self.finished.load(Ordering::Relaxed) {
                    return pairs as f64 / began.elapsed().as_nanos() as f64;
                }
            }
        })
    }

    /// Does `work` once all threads are ready.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> Lap<T> {
        // Before the start: a thread that misses it, because another process has its CPU, measures
        // alone.
        let before = interruptions();
        // Relaxed, as for `finished`: pairs with nothing, only time is kept by it.
        self.missing.fetch_sub(1, Ordering::Relaxed);
        while self.missing.load(Ordering::Relaxed) != 0 {
            hint::spin_loop();
        }
        (work(), interruptions() > before)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_pair_takes_as_long_as_it_takes() {
        let bench = Bench::new(1, 20).expect("CPUs");
        let ns = bench.pair(bench.workers.count(), || {
            Box::new(|watch| watch.batches(|pairs| thread::sleep(Duration::from_micros(pairs))))
        });
        // A sleep lasts as long as was asked for, or longer.
        assert!(ns >= 1000.0, "{ns} ns");
    }
}
