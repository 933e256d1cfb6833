//! Which counters are in use: for platforms.
//!
//! There is a bit for each counter. Above are *marks*, so that a search is short among half a
//! million, too: runs of words that were found full are marked, and a search goes to the first run
//! without a mark, and so to the lowest counter that is free.
//!
//! Why nothing that is free stays behind a mark: a mark is set *before* a second look at what it
//! stands for, and taken away *after* something there has become free, both by read-modify-writes
//! of one word. If the mark comes first, it is taken away; if it comes second, the second look sees
//! what has become free. Meanwhile a search may pass a free counter, and find a higher one.

use core::fmt;
use core::ops::Range;

use crate::primitive::{AtomicU64, Ordering};

/// Which of 64 * `WORDS` counters are in use. Hands out the lowest that is free, so that counters
/// lie densely. Lock-free; any context. A search looks at one word for every 4,096 counters in
/// front that are in use, and at one more; above 262,144 counters, at 64 words and two or more.
pub struct CounterMap<const WORDS: usize> {
    /// A mark for each [`RUN`](Self::RUN) words of `used`.
    full_runs: [AtomicU64; FAN],
    /// A bit for each counter.
    used: [AtomicU64; WORDS],
}

/// Marks per word, and words of marks. Fewer in a model, which follows each word.
const FAN: usize = if cfg!(rundown_loom) { 2 } else { 64 };

impl<const WORDS: usize> CounterMap<WORDS> {
    /// How many there are.
    pub const COUNTERS: usize = WORDS * u64::BITS as usize;

    /// How many words one mark stands for.
    const RUN: usize = WORDS.div_ceil(FAN * FAN);
    const RUNS: usize = WORDS.div_ceil(Self::RUN);

    const_unless_model! {
        /// All free.
        pub fn new() -> Self {
            Self {
                full_runs: array_of![AtomicU64::new(0); FAN],
                used: array_of![AtomicU64::new(0); WORDS],
            }
        }
    }

    /// Reserves a counter; `None` if none was found free.
    ///
    /// All that was done before it was [freed](Self::free) happens-before the return.
    #[must_use]
    pub fn reserve(&self) -> Option<usize> {
        // Again if another call took or freed something, or if there is one mark more.
        while let Some(run) = self.first_run() {
            let counter = self.reserve_in(Self::words(run));
            if counter.is_some() {
                return counter;
            }
            self.mark(run);
        }
        // A mark that is about to go is no reason for `None`.
        self.reserve_in(0..WORDS)
    }

    fn reserve_in(&self, mut words: Range<usize>) -> Option<usize> {
        words.find_map(|index| {
            // Acquire: pairs with the Release in `free`.
            let taken = self.used[index].fetch_update(
                Ordering::Acquire,
                Ordering::Relaxed,
                // The lowest zero becomes a one; `None` if there is no zero.
                |used| (used != u64::MAX).then(|| used | (used + 1)),
            );
            let bit = taken.ok()?.trailing_ones() as usize;
            Some(index * u64::BITS as usize + bit)
        })
    }

    /// Gives one back.
    ///
    /// # Panics
    /// If it is not in use.
    pub fn free(&self, counter: usize) {
        let index = counter / u64::BITS as usize;
        let bit = 1 << (counter % u64::BITS as usize);
        // Release: pairs with the Acquire in `reserve_in`.
        let used = self.used[index].fetch_and(!bit, Ordering::Release);
        assert!(used & bit != 0, "counter {counter} is not in use");
        if used == u64::MAX {
            self.unmark(index / Self::RUN);
        }
    }

    /// How many are in use. Racy.
    pub fn racy_in_use(&self) -> usize {
        self.used
            .iter()
            // Relaxed: pairs with nothing, the answer is for people.
            .map(|word| word.load(Ordering::Relaxed).count_ones() as usize)
            .sum()
    }

    /// The first run that has no mark.
    fn first_run(&self) -> Option<usize> {
        let first = |(index, marks): (usize, &AtomicU64)| {
            // Relaxed: pairs with nothing; marks only say where to search first.
            let marked = marks.load(Ordering::Relaxed).trailing_ones() as usize;
            (marked < FAN).then_some(index * FAN + marked)
        };
        let run = self.full_runs.iter().enumerate().find_map(first)?;
        (run < Self::RUNS).then_some(run)
    }

    fn words(run: usize) -> Range<usize> {
        run * Self::RUN..WORDS.min((run + 1) * Self::RUN)
    }

    /// The run was found full.
    #[cold]
    fn mark(&self, run: usize) {
        // Acquire: pairs with the Release in `unmark`, if that came first: this sees the free bit.
        self.full_runs[run / FAN].fetch_or(1 << (run % FAN), Ordering::Acquire);
        let is_full = Self::words(run)
            // Relaxed: pairs with the change in `free`, by way of the mark.
            .all(|index| self.used[index].load(Ordering::Relaxed) == u64::MAX);
        if !is_full {
            self.unmark(run);
        }
    }

    /// Something in the run is free.
    #[cold]
    fn unmark(&self, run: usize) {
        // Release: pairs with the Acquire in `mark`.
        self.full_runs[run / FAN].fetch_and(!(1 << (run % FAN)), Ordering::Release);
    }
}

default_is_new!(<const WORDS: usize> Default for CounterMap<WORDS>);

text!((<const WORDS: usize> fmt::Debug for CounterMap<WORDS>) this =>
    "{} of {} in use", this.racy_in_use(), Self::COUNTERS);

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    /// Of every shape: words that do not fill a run, runs that do not fill a word of marks.
    #[cfg(feature = "std")]
    fn the_lowest_of_many<const WORDS: usize>() {
        let map = std::boxed::Box::new(CounterMap::<WORDS>::new());
        let all = CounterMap::<WORDS>::COUNTERS;
        for expected in 0..all {
            assert_eq!(map.reserve(), Some(expected));
        }
        assert_eq!(map.reserve(), None);
        let mut free = std::collections::BTreeSet::new();
        let mut random = 1_usize;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
            let counter = (random >> 33) % all;
            if free.insert(counter) {
                map.free(counter);
            } else {
                assert_eq!(map.reserve(), free.pop_first());
            }
            if random >> 63 == 0 {
                assert_eq!(map.reserve(), free.pop_first());
            }
        }
        assert_eq!(map.racy_in_use(), all - free.len());
        for expected in free {
            assert_eq!(map.reserve(), Some(expected));
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn the_lowest_in_every_shape() {
        the_lowest_of_many::<1>();
        the_lowest_of_many::<63>();
        the_lowest_of_many::<65>();
        the_lowest_of_many::<{ FAN * FAN + 1 }>();
        the_lowest_of_many::<{ 2 * FAN * FAN - 3 }>();
    }

    #[test]
    #[should_panic(expected = "counter 5 is not in use")]
    fn what_is_not_in_use_cannot_be_freed() {
        CounterMap::<1>::new().free(5);
    }
}
