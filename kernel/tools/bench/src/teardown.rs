//! The owner's costs: closing objects and draining them.

use std::sync::atomic::Ordering;

use rundown::{HostPlatform, Rundown, Spin, Variant, WaitOutcome};

use crate::stopwatch::median;
use crate::{Bench, Contender, Samples, Stopwatch, Table, time};

/// Makes so many open objects, each with so many slots (where the kind has slots).
pub type MakeClosable = Box<dyn Fn(usize, usize) -> Box<dyn Closable>>;

/// Objects that can be torn down.
pub trait Closable: Send + Sync {
    /// Takes protection of the first and gives it back, if it is granted.
    fn touch(&self) {}
    /// Closes and drains all: one after the other, or all closed first. Returns how many
    /// nanoseconds that took, and opens them again.
    fn tear_down(&self, together: bool) -> f64;
}

/// Objects of a type, each made with so many slots.
pub fn many<V: Variant + 'static>(make: fn(usize) -> Rundown<V>) -> MakeClosable {
    Box::new(move |count, slots| Box::new(Vec::from_iter((0..count).map(|_| make(slots)))))
}

impl<V: Variant> Closable for Vec<Rundown<V>> {
    fn touch(&self) {
        drop(self[0].try_acquire());
    }

    fn tear_down(&self, together: bool) -> f64 {
        // Not part of the time.
        let mut all: Vec<&Rundown<V>> = self.iter().filter(|_| together).collect();
        let ns = time(|| {
            if together {
                Rundown::close_all(&mut all).expect("barriers are legal here");
            }
            for object in self {
                if !together {
                    object.close();
                }
                assert_eq!(object.wait(&Spin), WaitOutcome::Drained, "nothing cancels");
            }
        });
        for object in self {
            object.reinit().expect("it has drained");
        }
        ns
    }
}

/// Teardowns of one object in one round.
const SAMPLES: usize = 200;

/// Closes and drains objects of every kind, by their number of slots: idle, or while all other CPUs
/// use them.
pub fn teardowns(bench: &Bench, kinds: &[Contender<MakeClosable>], loaded: bool) -> Table {
    const SLOTS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
    let load = if loaded { "while all other CPUs use it" } else { "idle" };
    let title = format!("close + drain of one object, {load}, ns, by slots");
    let threads = if loaded { bench.workers.count() } else { 1 };
    Table::measured(bench.rounds, title, &SLOTS, kinds, &["  99th percentile"], |make, &slots| {
        let make = || make(1, slots);
        let samples = bench.undisturbed(threads, make, |object, watch| {
            let (samples, interrupted) = watch.run(|| tear_down_or_use(&**object, watch));
            // An object whose user does not run is idle.
            (samples, loaded && interrupted)
        });
        let samples = Samples(samples.concat());
        [0.5, 0.99].iter().filter_map(|&part| samples.quantile(part)).collect()
    })
}

/// The times of [`SAMPLES`] teardowns by the first thread. Until then, all others use the object.
fn tear_down_or_use(object: &dyn Closable, watch: &Stopwatch) -> Vec<f64> {
    if crate::cpu() != 0 {
        while !watch.finished.load(Ordering::Relaxed) {
            object.touch();
        }
        return vec![];
    }
    let samples = (0..SAMPLES).map(|_| less_clock(object.tear_down(false))).collect();
    watch.finished.store(true, Ordering::Relaxed);
    samples
}

/// A time, less that of reading the clock.
fn less_clock(ns: f64) -> f64 {
    (ns - time(|| ())).max(0.0)
}

/// Closes and drains many idle objects of every kind, by one CPU, with a slot per CPU: together,
/// and one by one, nanoseconds each; and the most barriers that a teardown of all together took.
pub fn batches(bench: &Bench, kinds: &[Contender<MakeClosable>]) -> Table {
    const BATCHES: [usize; 5] = [1, 10, 100, 1_000, 10_000];
    let title = "close + drain of many idle objects, a slot per CPU: all closed, then all waited for; ns each";
    let more = ["  one by one", "  barriers to close all of them together"];
    Table::measured(bench.rounds, title, &BATCHES, kinds, &more, |make, &count| {
        let objects = make(count, bench.workers.count());
        let run = || {
            // A few objects are torn down many times; never once only, as the first time finds
            // caches cold.
            let times = (2_000 / count).clamp(3, SAMPLES);
            let each = |together| less_clock(objects.tear_down(together)) / count as f64;
            let mut most = 0;
            let together = median(times, || {
                let before = HostPlatform::barriers();
                let ns = each(true);
                most = most.max(HostPlatform::barriers() - before);
                ns
            });
            vec![together, median(times, || each(false)), most as f64]
        };
        bench.workers.run(1, run).concat()
    })
}

#[cfg(test)]
mod tests {
    use rundown::PerCpuRundown;

    use super::*;
    use crate::{Group, Row};

    #[test]
    fn every_size_is_torn_down_and_all_together_take_one_barrier() {
        if let Err(reason) = HostPlatform::per_cpu() {
            return eprintln!("skipped: {reason}");
        }
        let make = many(|_| PerCpuRundown::<HostPlatform>::new().expect("few are in use"));
        let kinds = [Contender { name: "per-CPU", group: Group::Ours, make }];
        let bench = Bench::new(2, 1).expect("CPUs");
        let medians = |row: &Row| -> Vec<f64> {
            row.cells.iter().map(|cell| cell.median().expect("measured")).collect()
        };
        for loaded in [false, true] {
            let table = teardowns(&bench, &kinds, loaded);
            let [median, p99] = &table.rows[..] else { panic!("{table}") };
            let mut pairs = medians(median).into_iter().zip(medians(p99));
            assert!(pairs.all(|(ns, p99)| 0.0 <= ns && ns <= p99));
        }
        let table = batches(&bench, &kinds);
        let [together, singly, barriers] = &table.rows[..] else { panic!("{table}") };
        assert!(medians(together).iter().chain(&medians(singly)).all(|&ns| ns > 0.0));
        assert!(medians(barriers).iter().all(|&barriers| barriers == 1.0));
    }
}
