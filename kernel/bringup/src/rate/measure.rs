//! The rates of counters, measured against one whose rate is known.

use super::Counter;

/// A counter of known rate in the machine at hand.
pub trait Reference {
    /// How it counts.
    fn counter(&self) -> Counter;

    /// What it has come to.
    fn read(&self) -> u64;
}

/// Rates that were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Of the first and the second counter, in Hz.
    pub rates: [u64; 2],
    /// No window was free of long pauses, and the reference may have come round in each of them unseen:
    /// the rates may be too high by any factor. Another reference is to be preferred, if there is one.
    pub is_doubtful: bool,
}

/// Rates of the two counters that `first` and `second` read, both of which count up: measured together,
/// within some 5 ms. `None` if the reference stands still; 0 for a counter that does.
///
/// A hypervisor or other CPUs may take the CPU away at any moment. At both ends of the window all counters
/// are read as nearly at the same time as can be (the best of a few tries), and whatever happens in between
/// does no harm, unless it lasts for longer than the reference takes to come round, which is 55 ms for the
/// 8254 and seconds for the others. A full round of the 8254 cannot be seen, and makes the rates too high by
/// a factor of two or more. But it is most of the window then: if all pauses together were no longer than a
/// quarter of it, all is well. Else there is another window, four at most. If each had such pauses, the
/// lowest rates are the best guess, and [doubtful](Measured::is_doubtful).
pub fn measure(
    reference: &impl Reference,
    first: impl Fn() -> u64,
    second: impl Fn() -> u64,
) -> Option<Measured> {
    let counter = reference.counter();
    let start = reference.read();
    (0..TRIES_TO_MOVE).find(|_| counter.elapsed(start, reference.read()) > 0)?;

    let mut measured = Measured {
        rates: [u64::MAX; 2],
        is_doubtful: true,
    };
    for _ in 0..WINDOWS {
        let (rates, is_without_pause) = window(reference, &first, &second)?;
        measured.rates = measured.rates.min(rates);
        if is_without_pause || counter.outlasts_pauses() {
            measured.is_doubtful = false;
            break;
        }
    }
    Some(measured)
}

/// Of the answers of several sources, in the order in which they are preferred, the first that is not
/// doubtful; else the first. Later ones are not asked for.
pub fn first_sound<T>(
    answers: impl Iterator<Item = T>,
    mut is_doubtful: impl FnMut(&T) -> bool,
) -> Option<T> {
    let mut first = None;
    for answer in answers {
        if !is_doubtful(&answer) {
            return Some(answer);
        }
        first = first.or(Some(answer));
    }
    first
}

/// Length of one measurement, in nanoseconds. A reading of a PC's counters takes up to 3 us, which is
/// 0.06 % of this.
const WINDOW_NS: u64 = 5_000_000;

/// From one reading to the next there was a pause if it took so many times as long as a quick one.
const PAUSE: u64 = 16;

/// How many are tried.
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
    /// How long the reading took, by the first counter.
    length: u64,
}

/// The rates in one window, and whether it was without long pauses; `None` if the reference does not get to the
/// window's end.
fn window(
    reference: &impl Reference,
    first: &impl Fn() -> u64,
    second: &impl Fn() -> u64,
) -> Option<([u64; 2], bool)> {
    let counter = reference.counter();
    let clocks = counter.clocks_in(WINDOW_NS);
    let from = sample(reference, first, second);
    let (mut last, mut away) = (from.first, 0_u64);
    let mut pause = |now: u64| {
        let took = now.wrapping_sub(last);
        if took > from.length.saturating_mul(PAUSE) {
            away = away.saturating_add(took);
        }
        last = now;
        away
    };
    (0..TRIES_TO_END).find(|_| {
        let elapsed = counter.elapsed(from.reference, reference.read());
        pause(first());
        elapsed >= clocks
    })?;
    let to = sample(reference, first, second);
    let away = pause(to.first);

    let clocks = counter.elapsed(from.reference, to.reference);
    let rate = |from: u64, to: u64| counter.rate_of(to.wrapping_sub(from), clocks);
    let rates = [rate(from.first, to.first), rate(from.second, to.second)];
    Some((rates, away <= to.first.wrapping_sub(from.first) / 4))
}

/// Of a few tries the one that took the least time, by the first counter.
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
        Sample {
            first: before.wrapping_add(length / 2),
            second,
            reference,
            length,
        }
    });
    let best = tries.min_by_key(|sample| sample.length);
    best.expect("there are eight")
}

#[cfg(test)]
mod tests;
