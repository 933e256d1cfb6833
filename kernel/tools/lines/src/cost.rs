//! What is counted: [`Cost`].

use core::fmt;
use core::ops::{Add, Mul, Sub};

/// What something costs, on all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Reads of a line of which the CPU had no valid copy.
    pub fetches: u64,
    /// Writes to a line that the CPU did not have for itself: it had no copy, or others had one, too.
    pub takes: u64,
    /// Interrupts sent to other CPUs.
    pub interrupts: u64,
}

impl Cost {
    /// Nothing.
    pub const NONE: Self = Self::new(0, 0);

    /// Lines only.
    #[must_use]
    pub const fn new(fetches: u64, takes: u64) -> Self {
        Self {
            fetches,
            takes,
            interrupts: 0,
        }
    }

    /// So many interrupts besides.
    #[must_use]
    pub const fn interrupting(self, interrupts: u64) -> Self {
        Self { interrupts, ..self }
    }

    /// How often a CPU waits for a line: the sum of fetches and takes.
    #[must_use]
    pub const fn transfers(self) -> u64 {
        self.fetches + self.takes
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            fetches: self.fetches + other.fetches,
            takes: self.takes + other.takes,
            interrupts: self.interrupts + other.interrupts,
        }
    }
}

/// What came between two counts.
///
/// # Panics
/// If the second one is the later.
impl Sub for Cost {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let less = |now: u64, before| now.checked_sub(before).expect("counts only grow");
        Self {
            fetches: less(self.fetches, before.fetches),
            takes: less(self.takes, before.takes),
            interrupts: less(self.interrupts, before.interrupts),
        }
    }
}

impl Mul<u64> for Cost {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self {
            fetches: self.fetches * times,
            takes: self.takes * times,
            interrupts: self.interrupts * times,
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fetched, {} taken", self.fetches, self.takes)?;
        if self.interrupts > 0 {
            write!(f, ", {} interrupts", self.interrupts)?;
        }
        Ok(())
    }
}
