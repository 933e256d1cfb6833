//! Medians, and how far to trust them.

use serde::Serialize;

/// The median of several rounds and its quartiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// As many rounds were below as above.
    pub median: f64,
    /// A quarter of the rounds were below.
    pub low: f64,
    /// A quarter of the rounds were above.
    pub high: f64,
}

impl Spread {
    /// `None` without values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        if values.is_empty() {
            return None;
        }
        Some(Self {
            median: quantile(&values, 0.5),
            low: quantile(&values, 0.25),
            high: quantile(&values, 0.75),
        })
    }

    /// Of the ratios of two measurements, each pair taken in the same round: what slows the machine
    /// for a while slows both.
    #[must_use]
    pub fn of_ratios(numerators: &[f64], denominators: &[f64]) -> Option<Self> {
        Self::of(numerators.iter().zip(denominators).map(|(a, b)| a / b))
    }

    /// Half the distance of the quartiles, in percent of the median.
    #[must_use]
    pub fn percent(&self) -> f64 {
        (self.high - self.low) / 2.0 / self.median * 100.0
    }
}

/// The value below which this part of the sorted values lies, interpolated.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_round_does_not_count() {
        let spread = Spread::of([3.0, 1.0, 2.0, 1000.0, 4.0]).expect("values");
        let expected = Spread {
            median: 3.0,
            low: 2.0,
            high: 4.0,
        };
        assert_eq!(spread, expected);
        assert!((spread.percent() - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn an_even_number_of_rounds_is_interpolated() {
        assert_eq!(Spread::of([1.0, 2.0]).expect("values").median, 1.5);
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // The machine became ten times slower in the second half: the ratio does not see it.
        let (ours, limit) = ([2.0, 2.0, 20.0, 20.0], [1.0, 1.0, 10.0, 10.0]);
        let spread = Spread::of_ratios(&ours, &limit).expect("values");
        assert_eq!((spread.low, spread.high), (2.0, 2.0));
    }
}
