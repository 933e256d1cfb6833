//! A histogram of fixed size for latencies: any `u64`, quantiles within 3.2 % of the truth.
//!
//! Log-linear: values below 16 have a bucket each; above, every power of two is divided into 16
//! buckets of equal width. A bucket is at most 1/16 as wide as its smallest value, and a quantile
//! is given as its bucket's middle, which is off by at most 1/32 of the value.

use crate::storm::Latency;

/// Counts values by magnitude. 3.9 KiB; [`record`](Self::record) neither allocates nor loops.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: [u32; BUCKETS],
    count: u32,
    min: u64,
    max: u64,
}

impl Histogram {
    /// Counts one value; after 2^32 - 1 of them, no more.
    pub fn record(&mut self, value: u64) {
        let Some(count) = self.count.checked_add(1) else {
            return;
        };
        self.count = count;
        self.buckets[bucket(value)] += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// The least value not exceeded by at least `percent` (1 to 100) of all values; 0 if none.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> u64 {
        // Rank of the value looked for, from 1.
        let rank = (u64::from(self.count) * u64::from(percent)).div_ceil(100);
        let mut seen = 0;
        for (index, &bucket) in self.buckets.iter().enumerate() {
            seen += u64::from(bucket);
            if seen >= rank && seen > 0 {
                return middle(index).clamp(self.min, self.max);
            }
        }
        0
    }

    /// The summary that reports show. All 0 if there are no values.
    #[must_use]
    pub fn latency(&self) -> Latency {
        Latency {
            min_ns: if self.count == 0 { 0 } else { self.min },
            median_ns: self.percentile(50),
            p99_ns: self.percentile(99),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], count: 0, min: u64::MAX, max: 0 }
    }
}

/// log2 of the number of buckets per power of two.
const BITS: u32 = 4;

/// 16 values with buckets of their own, and 16 buckets for each of the powers 2^4 to 2^63.
const BUCKETS: usize = (64 - BITS as usize + 1) << BITS;

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    match power(value) {
        // The value's highest BITS + 1 bits, of which the topmost is always 1.
        Some(power) => ((power as usize) << BITS) + (value >> power) as usize,
        None => value as usize,
    }
}

/// The middle of a bucket's values.
fn middle(bucket: usize) -> u64 {
    let first = 1 << (BITS + 1);
    if bucket < first {
        return bucket as u64;
    }
    let power = (bucket >> BITS) - 1;
    let top = (bucket - (power << BITS)) as u64;
    (top << power) + (1 << (power - 1))
}

/// log2 of the width of a value's bucket; `None` below 16.
fn power(value: u64) -> Option<u32> {
    value.checked_ilog2()?.checked_sub(BITS)
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Histogram, bucket, middle};
    use crate::storm::Latency;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|value| histogram.record(value));
        histogram
    }

    #[test]
    fn nothing_is_all_zero_and_one_value_is_every_percentile() {
        assert_eq!(Histogram::default().latency(), Latency::default());
        for value in [0, 1, 15, 16, 17, 1_000_003, u64::MAX] {
            let expected = Latency { min_ns: value, median_ns: value, p99_ns: value };
            assert_eq!(of([value]).latency(), expected);
        }
    }

    #[test]
    fn buckets_follow_each_other_and_a_middle_is_close_to_all_values() {
        let mut first = 0;
        for index in 0..BUCKETS {
            // Twice the way to its middle.
            let width = ((middle(index) - first) * 2).max(1);
            for value in [first, first + (width - 1)] {
                assert_eq!(bucket(value), index, "{value}");
                assert!(middle(index).abs_diff(value) <= value / 32, "{value}");
            }
            first = first.wrapping_add(width);
        }
        assert_eq!(first, 0, "the last bucket ends at u64::MAX");
    }

    #[test]
    fn percentiles_of_known_distributions() {
        let histogram = of(1..=1000);
        for (percent, truth) in [(1, 10), (50, 500), (99, 990), (100, 1000)] {
            let given = histogram.percentile(percent);
            assert!(given.abs_diff(truth) <= truth / 31, "{percent} %: {given}, not {truth}");
        }
        assert_eq!((histogram.latency().min_ns, histogram.count), (1, 1000));
        // One outlier in a hundred is beyond the 99th percentile, and two are not.
        let with_outliers =
            |count| of([10].repeat(99).into_iter().chain([1_000_000].repeat(count)));
        assert_eq!(with_outliers(1).percentile(99), 10);
        assert_eq!(with_outliers(2).percentile(99) / 100_000, 9);
    }
}
