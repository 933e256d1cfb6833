//! What the kernel is to do, and how far it has come.

use protocol::options::{self, Format, Options, Scenario};
use protocol::storm::Totals;

/// The kernel's main job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// For a time.
    Storm { seconds: u32 },
    /// Tells when each CPU was how far while it started.
    Timeline,
    /// One of the test guest's.
    Scenario(Scenario),
}

impl Job {
    /// What the kernel is told.
    pub(super) fn options(self) -> Options {
        let usual = Options {
            format: Format::Json,
            ..Options::default()
        };
        match self {
            Self::Storm { seconds } => Options { seconds, ..usual },
            Self::Timeline => Options {
                job: options::Job::Timeline,
                ..usual
            },
            Self::Scenario(scenario) => Options {
                scenario: Some(scenario),
                ..usual
            },
        }
    }

    /// How much of it is done, from 0 to 1.
    pub(super) fn done(self, totals: &Totals) -> f64 {
        match self {
            Self::Storm { seconds } => {
                (totals.elapsed_ms as f64 / (f64::from(seconds) * 1000.0)).min(1.0)
            }
            Self::Timeline | Self::Scenario(_) => 0.0,
        }
    }

    /// What was asked for, in words.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Storm { seconds } => format!("a storm of {seconds} s"),
            Self::Timeline => "a timeline of the start".to_string(),
            Self::Scenario(scenario) => format!("the test scenario {scenario}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::storm::{Lane, Totals};

    use super::Job;

    #[test]
    fn a_storm_is_done_when_its_time_is_over() {
        let totals = |elapsed_ms| Totals {
            last: false,
            elapsed_ms,
            cpus: 2,
            variants: [Lane::default(); 3],
        };
        let job = Job::Storm { seconds: 4 };
        assert_eq!(job.done(&totals(1000)), 0.25);
        assert_eq!(job.done(&totals(4001)), 1.0);
    }
}
