//! How far the counter of one CPU is from that of another.

/// How far another CPU's time-stamp counter is ahead of this one's, in ticks; negative: behind.
/// Measured by questions: the other one's count was read between two of this one's, so it is known
/// up to the time that the fastest answer took, and never wrong by more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// It is so far ahead at least.
    pub least: i64,
    /// And at most.
    pub most: i64,
}

impl ClockOffset {
    /// Before the first question.
    pub const UNKNOWN: Self = Self { least: i64::MIN, most: i64::MAX };

    /// The bounds after another question: asked at `before`, answered with `there`, which arrived
    /// at `after`. Each question contributes to the result.
    #[must_use]
    pub fn narrowed(self, before: u64, there: u64, after: u64) -> Self {
        // A counter of 64 bits does not wrap, but one that was set to something may lie anywhere.
        let ahead_of = |here: u64| there.wrapping_sub(here) as i64;
        Self { least: self.least.max(ahead_of(after)), most: self.most.min(ahead_of(before)) }
    }

    /// Whether the counters differ for certain.
    #[must_use]
    pub fn is_off(self) -> bool {
        self.least > 0 || self.most < 0
    }

    /// It is no further off than this, ahead or behind.
    #[must_use]
    pub fn bound(self) -> u64 {
        self.least.unsigned_abs().max(self.most.unsigned_abs())
    }

    /// The middle of what it may be, and how far it may be from that.
    #[must_use]
    pub fn estimate(self) -> (i64, u64) {
        let half = self.most.saturating_sub(self.least) / 2;
        (self.least.saturating_add(half), half.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_answers_count() {
        let slow = ClockOffset::UNKNOWN.narrowed(100, 150, 200);
        assert_eq!((slow.least, slow.most), (-50, 50));
        assert_eq!((slow.is_off(), slow.estimate()), (false, (0, 50)));
        // Slow on the way there, then on the way back.
        let both = slow.narrowed(300, 390, 400).narrowed(500, 510, 600);
        assert_eq!((both.least, both.most, both.bound()), (-10, 10, 10));
    }

    #[test]
    fn a_counter_that_is_off_is_off_by_so_much() {
        for (offset, estimate) in [(1_000_i64, 1_000), (-1_000, -1_000), (0, 0)] {
            let there = 5_050_u64.wrapping_add_signed(offset);
            let found = ClockOffset::UNKNOWN.narrowed(5_000, there, 5_100);
            assert_eq!(found.is_off(), offset != 0);
            assert_eq!(found.estimate(), (estimate, 50));
        }
        // Less than the answer takes is not seen; more than the counter had counted is.
        assert!(!ClockOffset::UNKNOWN.narrowed(100, 160, 200).is_off());
        let behind = ClockOffset::UNKNOWN.narrowed(100, 150_u64.wrapping_sub(1_000), 200);
        assert_eq!(behind.estimate(), (-1_000, 50));
    }
}
