//! Which counters are in use: for platforms.

use core::fmt;

// Not the model's: it is no part of the protocol, and must stand in a static.
use core::sync::atomic::{AtomicU64, Ordering};

/// Which of 64 * `WORDS` counters are in use. Hands out the lowest that is free, so that counters
/// lie densely. Lock-free; any context.
pub struct CounterMap<const WORDS: usize> {
    /// A bit for each.
    used: [AtomicU64; WORDS],
}

impl<const WORDS: usize> CounterMap<WORDS> {
    /// How many there are.
    pub const COUNTERS: usize = WORDS * u64::BITS as usize;

    /// All free.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            used: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    /// Reserves a counter; `None` if none was found free.
    ///
    /// What was done before it was [freed](Self::free) happens-before the return.
    #[must_use]
    pub fn reserve(&self) -> Option<usize> {
        self.used.iter().enumerate().find_map(|(index, word)| {
            // Acquire: pairs with the Release in `free`.
            let taken = word.fetch_update(Ordering::Acquire, Ordering::Relaxed, |used| {
                // The lowest zero becomes a one; `None` if there is no zero.
                (used != u64::MAX).then(|| used | (used + 1))
            });
            let bit = taken.ok()?.trailing_ones() as usize;
            Some(index * u64::BITS as usize + bit)
        })
    }

    /// Gives one back.
    ///
    /// # Panics
    /// If it is not in use.
    pub fn free(&self, counter: usize) {
        let bit = 1 << (counter % u64::BITS as usize);
        // Release: pairs with the Acquire in `reserve`.
        let used = self.used[counter / u64::BITS as usize].fetch_and(!bit, Ordering::Release);
        assert!(used & bit != 0, "counter {counter} is not in use");
    }

    /// How many are in use. Racy.
    #[must_use]
    pub fn racy_in_use(&self) -> usize {
        self.used
            .iter()
            // Relaxed: pairs with nothing, the answer is for people.
            .map(|word| word.load(Ordering::Relaxed).count_ones() as usize)
            .sum()
    }
}

impl<const WORDS: usize> Default for CounterMap<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WORDS: usize> fmt::Debug for CounterMap<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} in use", self.racy_in_use(), Self::COUNTERS)
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_that_is_free() {
        let map = CounterMap::<2>::new();
        for expected in 0..128 {
            assert_eq!(map.reserve(), Some(expected));
        }
        assert_eq!(map.reserve(), None);
        for counter in [70, 3, 64] {
            map.free(counter);
        }
        assert_eq!(map.racy_in_use(), 125);
        for expected in [3, 64, 70] {
            assert_eq!(map.reserve(), Some(expected));
        }
        assert_eq!(map.reserve(), None);
    }

    #[test]
    #[should_panic(expected = "counter 5 is not in use")]
    fn what_is_not_in_use_cannot_be_freed() {
        CounterMap::<1>::new().free(5);
    }

    #[cfg(feature = "std")]
    #[test]
    fn no_counter_is_given_to_two() {
        use std::{collections::HashSet, thread, vec::Vec};

        let map = CounterMap::<4>::new();
        let held: Vec<usize> = thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| {
                    let mut mine = std::vec::Vec::new();
                    for round in 0..1000 {
                        mine.extend(map.reserve());
                        if round % 3 == 0 {
                            map.free(mine.remove(0));
                        }
                        if mine.len() > 50 {
                            for counter in mine.drain(..20) {
                                map.free(counter);
                            }
                        }
                    }
                    mine
                })
            });
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("no counter was freed twice"))
                .collect()
        });
        let different: HashSet<_> = held.iter().collect();
        assert_eq!(different.len(), held.len());
        assert_eq!(map.racy_in_use(), held.len());
    }
}
