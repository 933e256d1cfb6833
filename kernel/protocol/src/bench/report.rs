//! The figures as tables, no wider than 80 columns.

use core::fmt;

use super::{Barrier, Contender, Pairs, Plan, Teardown};
use crate::human::Count;

/// All figures. What was not measured is left out.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was to be measured.
    pub plan: Plan,
    /// Throughput.
    pub pairs: &'a [Pairs],
    /// What the owner pays.
    pub teardowns: &'a [Teardown],
    /// What part of that the per-CPU variant's barrier is.
    pub barriers: &'a [Barrier],
}

/// The tables, and below them [what they are worth](super::Ground::worth). No line feed at the end.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            millis, windows, ..
        } = self.plan;
        write!(
            f,
            "acquire + release of one object by so many CPUs at once, pairs per second\n\
             (the median of {windows} windows of {millis} ms; slowest: of its CPUs)\n"
        )?;
        for contender in Contender::ALL {
            self.throughput(f, contender)?;
        }
        self.teardowns(f)?;
        self.barriers(f)?;
        write!(f, "\n{}", self.plan.ground.worth())
    }
}

impl Report<'_> {
    /// Widest bar in columns: the most pairs per second that anything did.
    const BAR: u64 = 28;

    fn throughput(&self, f: &mut fmt::Formatter<'_>, contender: Contender) -> fmt::Result {
        let mut alone = None;
        for line in self.pairs.iter().filter(|line| line.contender == contender) {
            if alone.is_none() {
                writeln!(f, "\n{}", contender.name())?;
                writeln!(f, "  CPUs       all  each CPU   slowest  to 1 CPU")?;
            }
            // The first one is that of one CPU.
            let alone = *alone.get_or_insert(line.per_second);
            write!(
                f,
                "  {:>4}  {:>8}  {:>8}  {:>8}  {:>8}  ",
                line.cpus,
                Count(line.per_second),
                Count(line.per_cpu()),
                Count(line.slowest_cpu),
                Ratio(line.per_second, alone),
            )?;
            for _ in 0..self.bar(line.per_second) {
                f.write_str("#")?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }

    /// Length of a bar; what is not 0 can be seen.
    fn bar(&self, per_second: u64) -> u64 {
        let most = self.pairs.iter().map(|line| line.per_second).max();
        let scaled = u128::from(per_second) * u128::from(Self::BAR);
        let length = scaled / u128::from(most.unwrap_or(1).max(1));
        (length as u64).max(per_second.min(1))
    }

    fn teardowns(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.teardowns.is_empty() {
            return Ok(());
        }
        f.write_str(
            "\nteardown by CPU 0 while the others use the object (1 CPU: it is idle)\n\
             variant     CPUs  times close min   median      p99 drain min   median      p99\n",
        )?;
        for line in self.teardowns {
            let name = match line.variant {
                Contender::PerCpu => "per-CPU",
                Contender::CacheAware => "cache-aware",
                _ => "plain",
            };
            writeln!(
                f,
                "{name:<11} {:>4} {:>6} {} {}",
                line.cpus,
                Count(line.times.into()),
                line.close,
                line.drain
            )?;
        }
        Ok(())
    }

    fn barriers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.barriers.is_empty() {
            return Ok(());
        }
        f.write_str(
            "\nbarrier by CPU 0 while the others use an object of the per-CPU variant\n\
             \x20           CPUs  times       min   median      p99\n",
        )?;
        for line in self.barriers {
            let times = Count(line.times.into());
            writeln!(f, "{:>16} {times:>6} {}", line.cpus, line.time)?;
        }
        Ok(())
    }
}

impl Pairs {
    /// Pairs per second of a CPU on average.
    #[must_use]
    pub const fn per_cpu(&self) -> u64 {
        match self.cpus {
            0 => 0,
            cpus => self.per_second / cpus as u64,
        }
    }
}

/// A quotient with two digits behind the point.
struct Ratio(u64, u64);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(of, by) = *self;
        let hundredths = u128::from(of) * 100 / u128::from(by.max(1));
        let whole = hundredths / 100;
        // As wide as it is asked for: the point and the digits behind it take three columns.
        let width = f.width().unwrap_or(0).saturating_sub(3);
        write!(f, "{whole:>width$}.{:02}", hundredths % 100)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::*;
    use crate::bench::Ground;
    use crate::storm::Latency;

    const PLAN: Plan = Plan {
        cpus: 2,
        millis: 50,
        windows: 5,
        ground: Ground::Hardware,
    };

    const TABLES: &str = "\
acquire + release of one object by so many CPUs at once, pairs per second
(the median of 5 windows of 50 ms; slowest: of its CPUs)

per-CPU
  CPUs       all  each CPU   slowest  to 1 CPU
     1    1.00 G    1.00 G    12.5 M      1.00  ##############
     2    1.99 G     999 M    12.5 M      1.99  ############################

plain, one word for all
  CPUs       all  each CPU   slowest  to 1 CPU
     1    36.0 M    36.0 M    12.5 M      1.00  #

teardown by CPU 0 while the others use the object (1 CPU: it is idle)
variant     CPUs  times close min   median      p99 drain min   median      p99
cache-aware  255 4.29 G    850 ns  4.50 us  12.3 ms    850 ns  4.50 us  12.3 ms

barrier by CPU 0 while the others use an object of the per-CPU variant
            CPUs  times       min   median      p99
               2     12    850 ns  4.50 us  12.3 ms

What these figures are worth: no hypervisor shows itself, so the hardware's.";

    fn pairs(contender: Contender, cpus: u32, per_second: u64) -> Pairs {
        Pairs {
            contender,
            cpus,
            per_second,
            least: 0,
            most: 0,
            slowest_cpu: 12_500_000,
            left: 0,
        }
    }

    #[test]
    fn tables_line_up() {
        let time = Latency {
            min_ns: 850,
            median_ns: 4_500,
            p99_ns: 12_345_678,
        };
        let report = Report {
            plan: PLAN,
            pairs: &[
                pairs(Contender::Plain, 1, 36_000_000),
                pairs(Contender::PerCpu, 1, 1_000_000_000),
                pairs(Contender::PerCpu, 2, 1_999_000_000),
            ],
            teardowns: &[Teardown {
                variant: Contender::CacheAware,
                cpus: 255,
                times: u32::MAX,
                close: time,
                drain: time,
                left: 0,
            }],
            barriers: &[Barrier {
                cpus: 2,
                times: 12,
                time,
            }],
        };
        assert_eq!(report.to_string(), TABLES);
        assert!(TABLES.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let report = Report {
            plan: PLAN,
            pairs: &[],
            teardowns: &[],
            barriers: &[],
        };
        let text: String = report.to_string();
        assert!(!text.contains("CPUs  "), "{text}");
    }

    #[test]
    fn extremes_do_not_overflow() {
        assert_eq!(Ratio(u64::MAX, 1).to_string(), "18446744073709551615.00");
        assert_eq!(Ratio(7, 0).to_string(), "7.00");
        assert_eq!(pairs(Contender::Plain, 0, 7).per_cpu(), 0);
    }
}
