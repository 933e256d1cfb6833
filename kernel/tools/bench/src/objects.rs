//! Many objects: what a use of one that is picked at random costs, by how many there are.
//!
//! All other figures are of one object, which stays in the first cache. Here each use finds another
//! one: what counts is how many cache lines a use touches, and what objects there are besides.

use serde::Serialize;

use crate::pairs::{Stopwatch, measure_undisturbed};
use crate::{Effort, Group, Object, Spread, Workers, names};

/// Something of which there are many.
pub struct Crowd {
    /// As the table shows it.
    pub name: &'static str,
    /// Which part of the table it belongs to.
    pub group: Group,
    /// How many cache lines of one object a use touches.
    pub lines: usize,
    /// How much memory one takes.
    pub bytes: usize,
    /// Makes so many. They are used by [`uses`].
    pub make: fn(usize) -> Object,
}

/// One line: a use of one of so many objects.
#[derive(Debug, Serialize)]
pub struct Use {
    /// [`Crowd::name`].
    pub name: &'static str,
    /// [`Crowd::group`].
    pub group: Group,
    /// [`Crowd::lines`].
    pub lines: usize,
    /// How many there are.
    pub objects: usize,
    /// Nanoseconds: picking an object, taking protection, reading the value, giving protection back.
    pub ns: Spread,
    /// To a use of one of as many `Arc`s, in the same rounds.
    pub to_arc: Option<Spread>,
    /// To one of crossbeam's pointers.
    pub to_crossbeam: Option<Spread>,
}

/// How many objects there are.
pub const COUNTS: [usize; 6] = [1, 100, 1_000, 10_000, 50_000, 500_000];

/// Bytes in a cache line.
pub const LINE: usize = 64;

/// A crowd that takes more memory than this is left out.
const MEMORY: usize = 1 << 30;

/// How many rounds, at most: to make the objects anew takes long.
const ROUNDS: usize = 11;

/// Measures a use of each crowd, by one thread. Objects are made anew for each measurement, so that
/// the median is over several places in memory, too.
pub fn objects(
    workers: &Workers,
    crowds: &[Crowd],
    effort: Effort,
    mut progress: impl FnMut(usize, usize),
) -> Vec<Use> {
    // Whether a library's memory is on huge pages would be chance.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let rounds = effort.rounds.min(ROUNDS);
    let mut ns = vec![vec![Vec::new(); COUNTS.len()]; crowds.len()];
    for round in 0..rounds {
        progress(round, rounds);
        for (place, &count) in COUNTS.iter().enumerate() {
            for (crowd, ns) in crowds.iter().zip(&mut ns) {
                if crowd.bytes * count <= MEMORY {
                    tidy_heap();
                    let make = || (crowd.make)(count);
                    ns[place].push(measure_undisturbed(workers, &make, 1, effort.time()).ns);
                }
            }
        }
    }
    let _ = rustix::thread::disable_transparent_huge_pages(false);
    lines(crowds, &ns)
}

/// Joins freed memory, so that small objects are made side by side, as in a new process,
/// whatever was measured before.
fn tidy_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: any thread may ask at any time.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// One for each crowd and count that was measured: `[crowd][place in COUNTS][round]`.
fn lines(crowds: &[Crowd], ns: &[Vec<Vec<f64>>]) -> Vec<Use> {
    let of = |name, place: usize| {
        let crowd = crowds.iter().position(|crowd| crowd.name == name)?;
        Some(&ns[crowd][place])
    };
    let mut lines = Vec::new();
    for (crowd, ns) in crowds.iter().zip(ns) {
        for (place, rounds) in ns.iter().enumerate() {
            let to = |name| Spread::of_ratios(rounds, of(name, place)?);
            if let Some(ns) = Spread::of(rounds.iter().copied()) {
                lines.push(Use {
                    name: crowd.name,
                    group: crowd.group,
                    lines: crowd.lines,
                    objects: COUNTS[place],
                    ns,
                    to_arc: to(names::ARC),
                    to_crossbeam: to(names::CROSSBEAM),
                });
            }
        }
    }
    lines
}

/// Uses objects picked at random, as the stopwatch asks, after each was used a few times.
#[inline]
pub fn uses(watch: &mut Stopwatch<'_>, objects: usize, mut one: impl FnMut(usize)) {
    let mut picks = Random::new();
    let mut some = |times: u64| {
        // In a register.
        let mut random = picks;
        for _ in 0..times {
            one(random.below(objects));
        }
        picks = random;
    };
    some(3 * objects as u64);
    watch.batches(some);
}

/// The numbers below `count` in random order, always the same: the way from an object's number to its
/// place in memory. It stands for the table of pointers in which a program looks its objects up.
#[must_use]
pub fn shuffled(count: usize) -> Box<[usize]> {
    let mut order: Box<[usize]> = (0..count).collect();
    let mut random = Random::new();
    for place in (1..count).rev() {
        order.swap(place, random.below(place + 1));
    }
    order
}

/// Numbers that are random enough to surprise a prefetcher, at a nanosecond each.
#[derive(Clone, Copy)]
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(0x853c_49e6_748f_ea9b)
    }

    /// Knuth's constants (MMIX); the upper half is the better one.
    #[inline]
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 32) * bound as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn an_order_holds_every_number_once_and_is_not_sorted() {
        let order = shuffled(1_000);
        assert!(!order.is_sorted());
        let mut sorted = order;
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..1_000));
    }

    #[test]
    fn picks_reach_every_object() {
        let mut random = Random::new();
        let mut seen = [false; 100];
        for _ in 0..10_000 {
            seen[random.below(100)] = true;
        }
        assert_eq!(seen, [true; 100]);
    }

    #[test]
    fn crowds_that_fit_are_measured_beside_arc() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let crowd = |name, bytes| Crowd {
            name,
            group: Group::Ours,
            lines: 1,
            bytes,
            make: |count| {
                MADE.fetch_max(count, Ordering::Relaxed);
                Box::new(move |watch| uses(watch, count, |pick| assert!(pick < count)))
            },
        };
        let crowds = [crowd(names::ARC, 0), crowd("large", MEMORY / 100)];
        let workers = Workers::start().expect("threads");
        let effort = Effort {
            rounds: 1,
            millis: 1,
        };
        let lines = objects(&workers, &crowds, effort, |_, _| ());
        assert_eq!(MADE.load(Ordering::Relaxed), COUNTS[COUNTS.len() - 1]);
        let counts = |name| lines.iter().filter(move |line| line.name == name);
        assert!(counts(names::ARC).map(|line| line.objects).eq(COUNTS));
        assert!(counts("large").map(|line| line.objects).eq([1, 100]));
        assert!(lines.iter().all(|line| line.to_arc.is_some()));
    }
}
