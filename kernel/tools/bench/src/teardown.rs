//! The owner's costs: closing objects and draining them.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rundown::{HostPlatform, Rundown, Spin, Variant, WaitOutcome};

use crate::stopwatch::{interruptions, median};
use crate::{Bench, Group, Rounds, Table, time};

/// A kind of object, for the tables of teardowns.
pub struct Kind {
    pub name: &'static str,
    /// Makes so many open objects, each with so many slots (where the kind has slots).
    pub make: fn(objects: usize, slots: usize) -> Box<dyn Closable>,
    pub group: Group,
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
        for object in self {
            object.close();
            drain(object);
        }
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
    assert_eq!(closed.wait(&Spin), WaitOutcome::Drained, "nothing cancels");
}

/// Teardowns of one object in one round.
const SAMPLES: usize = 200;

/// Closes and drains objects of every kind, by their number of slots: idle, or while all other CPUs
/// use them.
pub fn teardowns(bench: &Bench, kinds: &[Kind], loaded: bool) -> Table {
    const SLOTS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
    let load = if loaded { "while all other CPUs use it" } else { "idle" };
    let title = format!("close + drain of one object, {load}, ns, by slots");
    let rows = |kind: &Kind| (kind.group, format!("{}\n  99th percentile", kind.name));
    Table::measured(bench, title, &SLOTS, kinds, rows, |kind, &slots| {
        // An object whose user does not run is idle.
        let samples = bench.undisturbed(|| {
            let (samples, interrupted) = attempt(bench, &*(kind.make)(1, slots), loaded);
            (samples, interrupted && loaded)
        });
        let values = [0.5, 0.99].map(|part| samples.quantile(part));
        values.into_iter().flatten().collect()
    })
}

/// Times of [`SAMPLES`] teardowns on the first CPU, and whether a thread was interrupted.
fn attempt(bench: &Bench, object: &dyn Closable, loaded: bool) -> (Rounds, bool) {
    let (users, finished) = (AtomicUsize::new(0), AtomicBool::new(false));
    let threads = if loaded { bench.workers.count() } else { 1 };
    let per_thread = bench.workers.run(threads, || {
        let before = interruptions();
        let mut samples = Vec::new();
        if crate::cpu() == 0 {
            // Relaxed, here and below: pairs with nothing, it only says when to start and to stop.
            while users.load(Ordering::Relaxed) < threads - 1 {
                hint::spin_loop();
            }
            for _ in 0..SAMPLES {
                let clock = time(|| ());
                samples.push((time(|| object.tear_down()) - clock).max(0.0));
                object.reopen();
            }
            finished.store(true, Ordering::Relaxed);
        } else {
            users.fetch_add(1, Ordering::Relaxed);
            while !finished.load(Ordering::Relaxed) {
                object.touch();
            }
        }
        (samples, interruptions() > before)
    });
    let interrupted = per_thread.iter().any(|(_, interrupted)| *interrupted);
    let samples = per_thread.into_iter().flat_map(|(samples, _)| samples);
    (Rounds(samples.collect()), interrupted)
}

/// Closes and drains many idle objects of every kind, by one CPU, with a slot per CPU: together,
/// and one by one, nanoseconds each; and the most barriers that a teardown of all together took.
pub fn batches(bench: &Bench, kinds: &[Kind]) -> Table {
    const BATCHES: [usize; 5] = [1, 10, 100, 1_000, 10_000];
    let title = "close + drain of many idle objects, a slot per CPU: all closed, then all waited for; ns each";
    let more = "\n  one by one\n  barriers to close all of them together";
    let rows = |kind: &Kind| (kind.group, kind.name.to_owned() + more);
    Table::measured(bench, title, &BATCHES, kinds, rows, |kind, &count| {
        let objects = (kind.make)(count, bench.workers.count());
        let run = || {
            // A few objects are torn down many times; never once only, as the first time finds
            // caches cold.
            let times = (2_000 / count).clamp(3, SAMPLES);
            let each = |teardown: &mut dyn FnMut() -> f64| {
                median(times, || {
                    let ns = (teardown() - time(|| ())).max(0.0);
                    objects.reopen();
                    ns / count as f64
                })
            };
            let mut most = 0;
            let together = each(&mut || {
                let before = HostPlatform::barriers();
                let ns = objects.tear_down_together();
                most = most.max(HostPlatform::barriers() - before);
                ns
            });
            vec![together, each(&mut || time(|| objects.tear_down())), most as f64]
        };
        bench.workers.run(1, run).concat()
    })
}

#[cfg(test)]
mod tests {
    use rundown::PerCpuRundown;

    use super::*;
    use crate::Row;

    #[test]
    fn every_size_is_torn_down_and_all_together_take_one_barrier() {
        if let Err(reason) = HostPlatform::per_cpu() {
            return eprintln!("skipped: {reason}");
        }
        const MAKE: fn(usize) -> PerCpuRundown<HostPlatform> =
            |_| PerCpuRundown::new().expect("few are in use");
        let kind = Kind {
            name: "per-CPU",
            make: |count, _| Box::new((0..count).map(MAKE).collect::<Vec<_>>()),
            group: Group::Ours,
        };
        let (bench, kinds) = (Bench::new(2, 1).expect("CPUs"), [kind]);
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
