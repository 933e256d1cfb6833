//! What an object costs to make, by how many there are already.

use serde::Serialize;

use crate::statistics::quantile;
use crate::teardown::time;
use crate::{Effort, Spread, Workers};

/// One line: making an object while so many others live.
#[derive(Debug, Serialize)]
pub struct Creation {
    /// How many.
    pub live: usize,
    /// Nanoseconds for one more.
    pub ns: Spread,
    /// Nanoseconds for one where others, anywhere among the living, were dropped before.
    pub in_holes_ns: Spread,
}

/// How many objects live.
pub const LIVE: [usize; 3] = [1_000, 50_000, 524_000];

/// How many are made between two looks at the clock.
const MADE: usize = 64;

/// Samples of a round.
const SAMPLES: usize = 15;

/// Makes objects while others live.
pub fn creations<T: Send + 'static>(
    workers: &Workers,
    make: fn() -> T,
    effort: Effort,
) -> Vec<Creation> {
    let rounds = effort.rounds;
    let lines = workers.run(1, move || {
        let mut live: Vec<Option<T>> = Vec::with_capacity(LIVE[LIVE.len() - 1]);
        let lines = LIVE.map(|count| {
            live.resize_with(count, || Some(make()));
            let (more, holes): (Vec<f64>, Vec<f64>) =
                (0..rounds).map(|_| one_round(&mut live, make)).unzip();
            Some(Creation {
                live: count,
                ns: Spread::of(more)?,
                in_holes_ns: Spread::of(holes)?,
            })
        });
        lines.into_iter().flatten().collect::<Vec<_>>()
    });
    lines.into_iter().flatten().collect()
}

/// The medians for one more, and for one in a hole, in nanoseconds.
fn one_round<T>(live: &mut [Option<T>], make: fn() -> T) -> (f64, f64) {
    let mut more: Vec<Option<T>> = Vec::with_capacity(MADE);
    let one_more = median(|| {
        let ns = time(|| more.resize_with(MADE, || Some(make())));
        more.clear();
        ns
    });
    // An odd stride, so that holes are nowhere near each other.
    let (count, stride) = (live.len(), (live.len() / MADE) | 1);
    let mut place = 0;
    let in_holes = median(|| {
        let first = place;
        for hole in 0..MADE {
            live[(first + hole * stride) % count] = None;
        }
        place = (first + MADE * stride) % count;
        time(|| {
            for hole in 0..MADE {
                live[(first + hole * stride) % count] = Some(make());
            }
        })
    });
    (one_more, in_holes)
}

/// Of one object's share of so many samples.
fn median(mut sample: impl FnMut() -> f64) -> f64 {
    // Caches.
    sample();
    let mut samples: Vec<f64> = (0..SAMPLES).map(|_| sample() / MADE as f64).collect();
    samples.sort_by(f64::total_cmp);
    quantile(&samples, 0.5)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    struct Counted;

    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn as_many_live_as_are_said() {
        let workers = Workers::start().expect("threads");
        let make = || {
            let alive = ALIVE.fetch_add(1, Ordering::Relaxed) + 1;
            MOST.fetch_max(alive, Ordering::Relaxed);
            Counted
        };
        let effort = Effort {
            rounds: 2,
            millis: 1,
        };
        let lines = creations(&workers, make, effort);
        assert!(lines.iter().map(|line| line.live).eq(LIVE));
        assert!(lines.iter().all(|line| line.ns.median > 0.0));
        assert_eq!(MOST.load(Ordering::Relaxed), LIVE[LIVE.len() - 1] + MADE);
        assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
    }
}
