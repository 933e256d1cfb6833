//! Ticks to nanoseconds.

/// Nanoseconds per tick of a counter, as a binary fraction: 32 bits before the point, 32 after.
///
/// The bits cut off after the point make the clock run slow by less than one part in
/// `2^32 / nanoseconds per tick`: at 3 GHz by less than a second in 40 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scale(u64);

impl Scale {
    /// The scale of a counter with this rate, from 1 Hz on. (0 Hz counts as 1 Hz.)
    #[must_use]
    pub const fn of_hz(hz: u64) -> Self {
        let hz = if hz == 0 { 1 } else { hz };
        // At most 10^9 << 32, which is less than 2^62.
        Self((1_000_000_000 << 32) / hz)
    }

    /// The scale with these bits, which [`bits`](Self::bits) has returned.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The fraction, to be kept in an atomic variable.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// `ticks` in nanoseconds, rounded down. Never less for more ticks. A result that does not fit
    /// in 64 bits, after 584 years, is cut to them.
    #[must_use]
    pub fn nanos(self, ticks: u64) -> u64 {
        let nanos = (u128::from(ticks) * u128::from(self.0)) >> 32;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Scale;

    #[test]
    fn rates_to_nanoseconds() {
        assert_eq!(Scale::of_hz(1_000_000_000).nanos(12_345), 12_345);
        assert_eq!(Scale::of_hz(1).nanos(7), 7_000_000_000);
        assert_eq!(Scale::of_hz(1).nanos(u64::MAX), u64::MAX, "cut");
        assert_eq!(Scale::of_hz(0), Scale::of_hz(1));
        assert_eq!(Scale::default().nanos(u64::MAX), 0, "a clock that stands");
    }

    proptest! {
        #[test]
        fn rounds_down_by_little(hz in 1_u64.., ticks in 0_u64..) {
            let nanos = Scale::of_hz(hz).nanos(ticks);
            let exact = u128::from(ticks) * 1_000_000_000 / u128::from(hz);
            prop_assert!(u128::from(nanos) <= exact);
            if exact < u128::from(u64::MAX) {
                // The fraction lacks less than 2^-32 ns per tick, the result less than 1 ns.
                let lacks = u128::from(ticks >> 32) + 2;
                prop_assert!(exact - u128::from(nanos) <= lacks, "{nanos} {exact}");
            }
        }
    }
}
