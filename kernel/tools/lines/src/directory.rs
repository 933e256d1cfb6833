//! Who has which cache line: [`Directory`].

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rundown_traced::trace::Access;

use crate::{Cost, LINE};

/// A coherence directory (the simplest there is, MSI: Sorin, Hill, Wood, "A Primer on Memory
/// Consistency and Cache Coherence", chapter 7): for each line, which CPUs have a copy, and which one,
/// if any, has it for itself. Caches are endless: a line is only lost to another CPU.
///
/// Lock-free: may be told of accesses on any CPU, in any context. It counts exactly as long as the
/// accesses *to one line* come one after the other; when two CPUs race for a line, it may be off by one
/// for each race, as it is told just before the access is made.
pub struct Directory {
    /// An open-addressed table.
    lines: Box<[Line]>,
    /// For each line, a bit for each CPU.
    copies: Box<[AtomicU64]>,
    words_per_line: usize,
    counts: Box<[Counts]>,
}

struct Line {
    /// The line's number plus one; 0: the entry is free.
    name: AtomicUsize,
    /// The CPU that has the line for itself, plus one; 0: nobody.
    owner: AtomicUsize,
}

/// One CPU's, on lines of its own, so that counting does not disturb what is counted in time.
#[derive(Default)]
#[repr(align(128))]
struct Counts {
    fetches: AtomicU64,
    takes: AtomicU64,
}

impl Directory {
    /// For CPUs 0 to `cpus` - 1. No line is in any cache.
    ///
    /// # Panics
    /// If `lines`, the number of lines that there is room for, is no power of two.
    #[must_use]
    pub fn new(cpus: usize, lines: usize) -> Self {
        assert!(lines.is_power_of_two(), "{lines} is no power of two");
        let words_per_line = cpus.div_ceil(u64::BITS as usize);
        let free = || Line {
            name: AtomicUsize::new(0),
            owner: AtomicUsize::new(0),
        };
        Self {
            lines: (0..lines).map(|_| free()).collect(),
            copies: (0..lines * words_per_line)
                .map(|_| AtomicU64::new(0))
                .collect(),
            words_per_line,
            counts: (0..cpus).map(|_| Counts::default()).collect(),
        }
    }

    /// `cpu` is about to access the line that `address` is on.
    ///
    /// # Panics
    /// If there are more lines than there is room for, or no such CPU.
    pub fn access(&self, cpu: usize, address: usize, access: Access) {
        let place = self.place(address / LINE);
        let first = place * self.words_per_line;
        let copies = &self.copies[first..first + self.words_per_line];
        let owner = &self.lines[place].owner;
        let (word, bit) = (cpu / u64::BITS as usize, 1 << (cpu % u64::BITS as usize));
        // Relaxed, here and below: these are counts. What orders the accesses that are counted,
        // orders these as well, since both are made by the same CPU.
        match access {
            Access::Read if copies[word].load(Ordering::Relaxed) & bit == 0 => {
                owner.store(0, Ordering::Relaxed);
                copies[word].fetch_or(bit, Ordering::Relaxed);
                self.counts[cpu].fetches.fetch_add(1, Ordering::Relaxed);
            }
            Access::Write if owner.load(Ordering::Relaxed) != cpu + 1 => {
                for (index, others) in copies.iter().enumerate() {
                    others.store(if index == word { bit } else { 0 }, Ordering::Relaxed);
                }
                owner.store(cpu + 1, Ordering::Relaxed);
                self.counts[cpu].takes.fetch_add(1, Ordering::Relaxed);
            }
            Access::Read | Access::Write => {}
        }
    }

    /// What all CPUs have fetched and taken since the beginning.
    #[must_use]
    pub fn total(&self) -> Cost {
        (0..self.counts.len())
            .map(|cpu| self.of(cpu))
            .fold(Cost::NONE, |sum, one| sum + one)
    }

    /// What one CPU has fetched and taken since the beginning.
    ///
    /// # Panics
    /// If there is no such CPU.
    #[must_use]
    pub fn of(&self, cpu: usize) -> Cost {
        let counts = &self.counts[cpu];
        Cost::new(
            counts.fetches.load(Ordering::Relaxed),
            counts.takes.load(Ordering::Relaxed),
        )
    }

    /// The entry of a line; a new one if it has none.
    fn place(&self, line: usize) -> usize {
        let name = line + 1;
        let mask = self.lines.len() - 1;
        // Fibonacci hashing, see `ObjectId::bucket`.
        let hash = (name as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        for step in 0..self.lines.len() {
            let place = (hash as usize + step) & mask;
            let entry = &self.lines[place].name;
            let found = match entry.load(Ordering::Relaxed) {
                0 => entry
                    .compare_exchange(0, name, Ordering::Relaxed, Ordering::Relaxed)
                    .err()
                    .unwrap_or(name),
                found => found,
            };
            if found == name {
                return place;
            }
        }
        panic!("no room for more than {} lines", self.lines.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads and writes of line 0 by CPUs, and what they cost.
    #[test]
    fn a_line_travels_only_when_it_must() {
        let directory = Directory::new(70, 16);
        let (fetched, taken, free) = (Cost::new(1, 0), Cost::new(0, 1), Cost::NONE);
        let script = [
            (3, Access::Read, fetched), // from memory
            (3, Access::Read, free),
            (3, Access::Write, taken), // MSI has no state "alone, but clean"
            (3, Access::Write, free),
            (3, Access::Read, free),
            (69, Access::Read, fetched), // from 3, which keeps a copy
            (3, Access::Read, free),
            (3, Access::Write, taken), // from 69
            (69, Access::Write, taken),
            (3, Access::Read, fetched),
            (5, Access::Read, fetched),
            (69, Access::Read, free),
            (69, Access::Write, taken),
            (5, Access::Read, fetched),
        ];
        for (step, (cpu, access, expected)) in script.into_iter().enumerate() {
            let before = directory.of(cpu);
            directory.access(cpu, step % LINE, access);
            assert_eq!(directory.of(cpu) - before, expected, "step {step}");
        }
        let all = script
            .iter()
            .fold(Cost::NONE, |sum, &(_, _, cost)| sum + cost);
        assert_eq!(directory.total(), all);
    }

    #[test]
    fn lines_are_told_apart_until_there_are_too_many() {
        let directory = Directory::new(2, 16);
        for line in 0..16 {
            directory.access(0, line * LINE, Access::Write);
            directory.access(0, line * LINE + LINE - 1, Access::Write);
        }
        assert_eq!(directory.total(), Cost::new(0, 16));
    }

    #[test]
    #[should_panic(expected = "no room for more than 2 lines")]
    fn too_many_lines() {
        let directory = Directory::new(1, 2);
        for line in 0..3 {
            directory.access(0, line * LINE, Access::Read);
        }
    }
}
