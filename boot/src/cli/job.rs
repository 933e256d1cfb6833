//! What the kernel is to do, and how far it has come.

use std::time::Duration;

use protocol::human::Count;
use protocol::options::{self, Format, Options};
use protocol::storm::{Lane, Totals};

/// The kernel's main job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// For a time.
    Storm { seconds: u32 },
    /// Until each variant has done so much.
    Soak { pairs: u64, teardowns: u64 },
    /// Measures, in windows of so many milliseconds.
    Bench { millis: u32 },
    /// Tells when each CPU was how far while it started.
    Timeline,
    /// Tells where each CPU sits and which caches it has.
    Topology,
}

impl Job {
    /// What the kernel is told.
    pub(super) fn options(self) -> Options {
        let mut options = Options {
            format: Format::Json,
            ..Options::default()
        };
        match self {
            Self::Storm { seconds } => options.seconds = seconds,
            Self::Soak { pairs, teardowns } => {
                (options.pairs, options.teardowns) = (pairs, teardowns);
            }
            Self::Bench { millis } => options.bench = Some(millis),
            Self::Timeline => options.job = options::Job::Timeline,
            Self::Topology => options.job = options::Job::Topology,
        }
        options
    }

    /// How much of it is done, from 0 to 1. (A bench sends no totals: it counts
    /// its steps.)
    pub(super) fn done(self, totals: &Totals) -> f64 {
        match self {
            Self::Storm { seconds } => part(totals.elapsed_ms, u64::from(seconds) * 1000),
            Self::Soak { pairs, teardowns } => {
                let of =
                    |lane: &Lane| part(lane.grants, pairs).min(part(lane.teardowns, teardowns));
                (of(&totals.cache_aware) + of(&totals.plain)) / 2.0
            }
            Self::Bench { .. } | Self::Timeline | Self::Topology => 0.0,
        }
    }

    /// The line about it: of a soak, also how much is done and how long the rest will take.
    pub(super) fn line(self, totals: &Totals) -> String {
        match self {
            Self::Soak { .. } if !totals.last => {
                let done = self.done(totals);
                let left = remaining(totals.elapsed_ms, done);
                format!("{:.1} %, {left} to go; {totals}", done * 100.0)
            }
            _ => totals.to_string(),
        }
    }

    /// How many reports there may be between two that are shown where none can be redrawn: a storm's
    /// come every second, a soak's every half a minute.
    pub(super) const fn show_every(self) -> u64 {
        match self {
            Self::Storm { .. } | Self::Bench { .. } | Self::Timeline | Self::Topology => 1,
            Self::Soak { .. } => 30,
        }
    }

    /// What was asked for, in words.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Storm { seconds } => format!("a storm of {seconds} s"),
            Self::Soak { pairs, teardowns } => format!(
                "a soak: {} pairs and {} teardowns of each variant",
                Count(pairs),
                Count(teardowns)
            ),
            Self::Bench { millis } => format!("a bench in windows of {millis} ms"),
            Self::Timeline => "a timeline of the start".to_string(),
            Self::Topology => "the topology".to_string(),
        }
    }
}

/// At most 1.
fn part(done: u64, of: u64) -> f64 {
    if done >= of {
        1.0
    } else {
        done as f64 / of as f64
    }
}

/// The rest at the same pace: `42 s`, `12 min`, or `?` while there is no pace yet.
fn remaining(elapsed_ms: u64, done: f64) -> String {
    if done <= 0.0 {
        return "?".to_string();
    }
    let left = Duration::from_millis(elapsed_ms).as_secs_f64() * (1.0 - done) / done;
    match left {
        ..120.0 => format!("{left:.0} s"),
        ..7200.0 => format!("{:.0} min", left / 60.0),
        _ => format!("{:.1} h", left / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use protocol::storm::{Lane, Totals};

    use super::Job;

    fn totals(elapsed_ms: u64, [cache_aware, plain]: [(u64, u64); 2]) -> Totals {
        let lane = |(grants, teardowns)| Lane {
            grants,
            teardowns,
            ..Lane::default()
        };
        Totals {
            last: false,
            elapsed_ms,
            cpus: 2,
            cache_aware: lane(cache_aware),
            plain: lane(plain),
        }
    }

    #[test]
    fn a_soak_is_done_when_both_variants_have_done_both() {
        let job = Job::Soak {
            pairs: 1000,
            teardowns: 10,
        };
        for (counts, done) in [
            ([(0, 0), (0, 0)], 0.0),
            ([(999_999, 0), (999_999, 0)], 0.0),
            ([(999_999, 5), (0, 0)], 0.25),
            ([(1000, 10), (500, 10)], 0.75),
            ([(1001, 11), (1000, 10)], 1.0),
        ] {
            assert_eq!(job.done(&totals(0, counts)), done, "{counts:?}");
        }
    }

    #[test]
    fn a_soak_tells_how_long_the_rest_takes() {
        let job = Job::Soak {
            pairs: 0,
            teardowns: 10,
        };
        for (elapsed_ms, text) in [
            (10_000, "25.0 %, 30 s to go; "),
            (60_000, "25.0 %, 3 min to go; "),
            (3_600_000, "25.0 %, 3.0 h to go; "),
        ] {
            let line = job.line(&totals(elapsed_ms, [(0, 5), (0, 0)]));
            assert!(line.starts_with(text), "{line}");
        }
        let line = job.line(&totals(1000, [(0, 0), (0, 0)]));
        assert!(line.starts_with("0.0 %, ? to go; "), "{line}");
    }

    #[test]
    fn a_storm_is_done_when_its_time_is_over() {
        let job = Job::Storm { seconds: 4 };
        assert_eq!(job.done(&totals(1000, [(0, 0); 2])), 0.25);
        assert_eq!(job.done(&totals(4001, [(0, 0); 2])), 1.0);
    }
}
