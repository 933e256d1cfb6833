//! The figures of the main job, and how a person sees them.
//!
//! All figures count from the beginning of the storm, also those of a live report. The tables are
//! printed line by line, so that each line can be a whole line of the kernel's log:
//!
//! ```text
//! CpuLine::HEADER          one row per CPU:  "{cpu_line}"
//! "{}", totals.lanes()     two tables, each with its heading and a row per variant
//! "{totals}"               one line: how long, how many, how often
//! ```

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::human::{Count, Nanos};

/// A report's totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Whether the storm is over; otherwise this is the live report of one second.
    pub last: bool,
    pub elapsed_ms: u64,
    /// Number of [`CpuLine`]s that follow.
    pub cpus: u32,
    /// The same device and work, guarded by each of the [`VARIANTS`].
    pub variants: [Lane; VARIANTS.len()],
}

/// The variants of rundown protection, in the order in which figures of each are listed.
pub const VARIANTS: [&str; 3] = ["plain", "cache-aware", "per-CPU"];

/// The figures of one variant of rundown protection since the storm began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// For which this variant was the one in use.
    pub busy_ms: u64,
    pub grants: u64,
    /// Because the device was closed.
    pub refusals: u64,
    /// Devices closed, drained, freed and replaced.
    pub teardowns: u64,
    /// Broken promises seen. Anything but 0 is a failure.
    pub violations: u64,
    pub close: Latency,
    /// From the end of `close` until the last protection was released.
    pub drain: Latency,
}

/// Distribution of a latency, in nanoseconds of guest time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    pub min_ns: u64,
    pub median_ns: u64,
    pub p99_ns: u64,
}

/// The figures of one CPU since the storm began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLine {
    pub index: u32,
    pub apic_id: u32,
    /// Protections granted to it, under each of the [`VARIANTS`] (interrupt context included).
    pub grants: [u64; VARIANTS.len()],
    /// Of those, granted in timer-interrupt context.
    pub irq_grants: u64,
    pub refusals: u64,
    /// Protections it released that another CPU had taken.
    pub released_for_others: u64,
}

impl Totals {
    /// The variants, one below the other, as two tables, counts and times, at most 80 columns wide.
    pub fn lanes(&self) -> impl fmt::Display + use<> {
        let variants = self.variants;
        fmt::from_fn(move |f| {
            f.write_str("variant            grants  grants/s  refused  teardowns  violations")?;
            let rows = || VARIANTS.iter().zip(&variants);
            for (name, lane) in rows() {
                write!(
                    f,
                    "\n{name:<15}  {:>8}  {:>8}  {:>7}  {:>9}  {:>10}",
                    Count(lane.grants),
                    Count(lane.grants_per_second()),
                    Count(lane.refusals),
                    Count(lane.teardowns),
                    lane.violations,
                )?;
            }
            f.write_str(
                "\n\ntime taken       close min   median      p99  drain min   median      p99",
            )?;
            rows().try_for_each(|(name, it)| write!(f, "\n{name:<15}  {}  {}", it.close, it.drain))
        })
    }

    /// Broken promises seen, under all variants together.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.sum(|lane| lane.violations)
    }

    /// One figure of all variants together.
    pub fn sum(&self, of: impl Fn(&Lane) -> u64) -> u64 {
        self.variants.iter().map(of).fold(0, u64::saturating_add)
    }
}

/// One line: `2.0 s, 8 CPUs: 12.3 M grants, 345 teardowns, 0 violations`.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{} s, {} CPU{}: {} grants, {} teardowns, {} violations",
            self.elapsed_ms / 1000,
            self.elapsed_ms % 1000 / 100,
            self.cpus,
            if self.cpus == 1 { "" } else { "s" },
            Count(self.sum(|lane| lane.grants)),
            Count(self.sum(|lane| lane.teardowns)),
            self.violations(),
        )
    }
}

impl Lane {
    /// Grants per second of the time in which this variant was the one in use.
    #[must_use]
    pub const fn grants_per_second(&self) -> u64 {
        match self.busy_ms {
            0 => 0,
            busy_ms => self.grants.saturating_mul(1000) / busy_ms,
        }
    }
}

/// `min / median / p99`, always of the same width.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, median, p99) = (Nanos(self.min_ns), Nanos(self.median_ns), Nanos(self.p99_ns));
        write!(f, "{min:>9}  {median:>7}  {p99:>7}")
    }
}

impl CpuLine {
    /// The heading above the rows.
    pub const HEADER: &str =
        " CPU  APIC ID     plain  cache-aware   per-CPU  in handler   refused  for others";
}

/// One row of the table below [`CpuLine::HEADER`].
impl fmt::Display for CpuLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [plain, cache_aware, per_cpu] = self.grants.map(Count);
        write!(
            f,
            "{:>4}  {:>7}  {plain:>8}  {cache_aware:>11}  {per_cpu:>8}  {:>10}  {:>8}  {:>10}",
            self.index,
            self.apic_id,
            Count(self.irq_grants),
            Count(self.refusals),
            Count(self.released_for_others),
        )
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::{CpuLine, Lane, Latency, Totals};

    const LANES: &str = "
variant            grants  grants/s  refused  teardowns  violations
plain              1.00 k    2.00 k        0          0           2
cache-aware        1.23 M    2.46 M       89         42           0
per-CPU                 0         0        0          0           0

time taken       close min   median      p99  drain min   median      p99
plain                 0 ns     0 ns     0 ns       0 ns     0 ns     0 ns
cache-aware         850 ns  4.50 us  12.3 ms       1 ns     2 ns     3 ns
per-CPU               0 ns     0 ns     0 ns       0 ns     0 ns     0 ns
";
    const CPUS: &str = "
 CPU  APIC ID     plain  cache-aware   per-CPU  in handler   refused  for others
   7       10         0            5         0           0         0           0
";

    fn totals() -> Totals {
        let cache_aware = Lane {
            busy_ms: 500,
            grants: 1_234_567,
            refusals: 89,
            teardowns: 42,
            violations: 0,
            close: Latency { min_ns: 850, median_ns: 4_500, p99_ns: 12_345_678 },
            drain: Latency { min_ns: 1, median_ns: 2, p99_ns: 3 },
        };
        let plain = Lane { grants: 1_000, busy_ms: 500, violations: 2, ..Lane::default() };
        Totals {
            last: false,
            elapsed_ms: 1_999,
            cpus: 8,
            variants: [plain, cache_aware, Lane::default()],
        }
    }

    #[test]
    fn a_report_is_one_line_and_columns_below_their_headings() {
        let line = "1.9 s, 8 CPUs: 1.23 M grants, 42 teardowns, 2 violations";
        assert_eq!(totals().to_string(), line);
        let cpu = CpuLine { index: 7, apic_id: 10, grants: [0, 5, 0], ..CpuLine::default() };
        assert_eq!(totals().lanes().to_string(), LANES.trim());
        assert_eq!(format!("{}\n{cpu}", CpuLine::HEADER), CPUS.trim_matches('\n'));
    }
}
