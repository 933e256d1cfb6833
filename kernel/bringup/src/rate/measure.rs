//! The rates of counters, measured against one whose rate is known.

#[cfg(test)]
mod tests;

use super::Counter;

/// Rates that were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Of the first and the second counter, in Hz.
    pub rates: [u64; 2],
    /// No window was free of long pauses, and the reference may have wrapped in each of them
    /// unseen: the rates may be too high by any factor. Prefer another reference, if there is one.
    pub is_doubtful: bool,
}

/// Rates of two counters that count up, measured together, within some 5 ms. `read` reads the
/// reference, which counts as `counter` says, then both others. `None` if the reference stands
/// still; 0 for another counter that does.
///
/// A hypervisor may take the CPU away at any moment. At both ends of the window all counters are
/// read as nearly together as possible (the best of a few tries), and a pause in between does no
/// harm, unless it is longer than the reference takes to come round: 55 ms for the 8254, seconds
/// for the others. A full round cannot be seen, but is most of the window then. So a window of
/// which pauses were more than a quarter is repeated, four at most. If each was such, the lowest
/// rates are the best guess, and [doubtful](Measured::is_doubtful).
pub fn measure(counter: Counter, read: [&dyn Fn() -> u64; 3]) -> Option<Measured> {
    let [reference, ..] = read;
    let start = reference();
    (0..TRIES_TO_MOVE).find(|_| counter.elapsed(start, reference()) > 0)?;

    let mut measured = Measured { rates: [u64::MAX; 2], is_doubtful: true };
    for _ in 0..WINDOWS {
        let (rates, is_without_pause) = window(counter, read)?;
        measured.rates = measured.rates.min(rates);
        if is_without_pause || counter.outlasts_pauses() {
            measured.is_doubtful = false;
            break;
        }
    }
    Some(measured)
}

/// Of the answers of several sources, in the order in which they are preferred, the first that is
/// not doubtful; else the first. Later ones are not asked for.
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

/// Nanoseconds of one measurement. Reading a PC's counters takes up to 3 us, 0.06 % of this.
const WINDOW_NS: u64 = 5_000_000;

/// There was a pause between two readings if it took this many times as long as a quick one.
const PAUSE: u64 = 16;

const WINDOWS: u32 = 4;

/// Readings in which the reference must have moved: it does so in each microsecond, and a reading
/// takes that long.
const TRIES_TO_MOVE: u32 = 10_000;

/// Readings in which a window must be over: it is, even where a reading takes 5 ns.
const TRIES_TO_END: u32 = 1_000_000;

/// The rates in one window, and whether it was without long pauses; `None` if the reference does
/// not get to the window's end.
fn window(counter: Counter, read: [&dyn Fn() -> u64; 3]) -> Option<([u64; 2], bool)> {
    let [reference, first, _] = read;
    let clocks = counter.clocks_in(WINDOW_NS);
    let from = Sample::take(read);
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
        let elapsed = counter.elapsed(from.reference, reference());
        pause(first());
        elapsed >= clocks
    })?;
    let to = Sample::take(read);
    let away = pause(to.first);

    let clocks = counter.elapsed(from.reference, to.reference);
    let rate = |from: u64, to: u64| counter.rate_of(to.wrapping_sub(from), clocks);
    let rates = [rate(from.first, to.first), rate(from.second, to.second)];
    Some((rates, away <= to.first.wrapping_sub(from.first) / 4))
}

struct Sample {
    reference: u64,
    first: u64,
    second: u64,
    /// How long the reading took, by the first counter.
    length: u64,
}

impl Sample {
    /// Of a few tries the one that took the least time.
    fn take([reference, first, second]: [&dyn Fn() -> u64; 3]) -> Self {
        let tries = (0..8).map(|_| {
            let before = first();
            let (reference, second) = (reference(), second());
            let length = first().wrapping_sub(before);
            Self { reference, first: before.wrapping_add(length / 2), second, length }
        });
        let best = tries.min_by_key(|sample| sample.length);
        best.expect("there are eight")
    }
}
