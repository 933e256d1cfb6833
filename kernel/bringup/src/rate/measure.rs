//! The rates of counters, measured against one whose rate is known.

use super::Counter;

/// A counter of known rate in the machine at hand.
pub trait Reference {
    /// How it counts.
    fn counter(&self) -> Counter;

    /// What it has come to.
    fn read(&self) -> u64;
}

/// Rates in Hz of the two counters that `first` and `second` read, both of which count up: measured
/// together, in the same time ([`WINDOW_NS`]). `None` if the reference stands still; 0 for a counter that
/// does.
///
/// A hypervisor may take the CPU away at any moment. At both ends of the window all counters are read as
/// nearly at the same time as can be (the best of a few tries), and whatever happens in between does no
/// harm, unless it lasts for longer than the reference takes to come round, which is 55 ms for the 8254.
/// A full round cannot be seen, and makes the rates too high by a factor of two or more. But it is most of
/// the window then: if no pause in it was longer than a quarter, all is well. Else there is another window,
/// four at most; the lowest rates are the right ones if a single one of the four was without a full round.
pub fn measure(
    reference: &impl Reference,
    first: impl Fn() -> u64,
    second: impl Fn() -> u64,
) -> Option<[u64; 2]> {
    let counter = reference.counter();
    let start = reference.read();
    (0..TRIES_TO_MOVE).find(|_| counter.elapsed(start, reference.read()) > 0)?;

    let mut lowest = [u64::MAX; 2];
    for _ in 0..WINDOWS {
        let window = Window::take(reference, &first, &second)?;
        lowest = lowest.min(window.rates);
        if window.is_without_pause {
            break;
        }
    }
    Some(lowest)
}

/// Length of one measurement, in nanoseconds. A reading of a PC's counters takes up to 3 us, which is
/// 0.06 % of this.
pub const WINDOW_NS: u64 = 5_000_000;

/// On a host so busy that each of them has a pause, they are enough.
const WINDOWS: u32 = 4;

/// Readings in which the reference must have moved: it does so in each microsecond, and a reading takes
/// that long.
const TRIES_TO_MOVE: u32 = 10_000;

/// Readings in which a window must be over: it is, even where a reading takes 5 ns.
const TRIES_TO_END: u32 = 1_000_000;

/// All three counters at one time.
struct Sample {
    first: u64,
    second: u64,
    reference: u64,
}

struct Window {
    rates: [u64; 2],
    is_without_pause: bool,
}

impl Window {
    /// `None` if the reference does not get to the window's end.
    fn take(
        reference: &impl Reference,
        first: &impl Fn() -> u64,
        second: &impl Fn() -> u64,
    ) -> Option<Self> {
        let counter = reference.counter();
        let clocks = counter.clocks_in(WINDOW_NS);
        let from = sample(reference, first, second);
        let (mut last, mut longest) = (from.first, 0);
        let mut pause = |now: u64| {
            longest = now.wrapping_sub(last).max(longest);
            last = now;
            longest
        };
        (0..TRIES_TO_END).find(|_| {
            let elapsed = counter.elapsed(from.reference, reference.read());
            pause(first());
            elapsed >= clocks
        })?;
        let to = sample(reference, first, second);
        let longest = pause(to.first);

        let clocks = counter.elapsed(from.reference, to.reference);
        let rate = |from: u64, to: u64| counter.rate_of(to.wrapping_sub(from), clocks);
        Some(Self {
            rates: [rate(from.first, to.first), rate(from.second, to.second)],
            is_without_pause: longest <= to.first.wrapping_sub(from.first) / 4,
        })
    }
}

/// Of a few tries the one that took the least time, which the first counter tells.
fn sample(
    reference: &impl Reference,
    first: &impl Fn() -> u64,
    second: &impl Fn() -> u64,
) -> Sample {
    let tries = (0..8).map(|_| {
        let before = first();
        let reference = reference.read();
        let second = second();
        let length = first().wrapping_sub(before);
        let sample = Sample {
            first: before.wrapping_add(length / 2),
            second,
            reference,
        };
        (length, sample)
    });
    let best = tries.min_by_key(|(length, _)| *length);
    best.expect("there are eight").1
}

#[cfg(test)]
mod tests;
