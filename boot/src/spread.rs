//! A few figures of many measurements.

use serde::Serialize;

/// The least, the middle and the greatest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: u64,
    /// Of an even count, the greater of the two in the middle.
    pub(crate) median: u64,
    pub(crate) max: u64,
}

impl Spread {
    pub(crate) fn of(numbers: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut numbers: Vec<_> = numbers.into_iter().collect();
        numbers.sort_unstable();
        Some(Self {
            min: *numbers.first()?,
            median: numbers[numbers.len() / 2],
            max: *numbers.last()?,
        })
    }

    pub(crate) fn all(self) -> [u64; 3] {
        [self.min, self.median, self.max]
    }
}
