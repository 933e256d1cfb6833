//! What came of many boots: tables for people, a document for programs.

use std::fmt;
use std::time::Duration;

use protocol::human::Nanos;
use protocol::options::StartMode;
use serde_json::{Value, json};

use super::Sample;
use crate::accel::{Engine, Host};
use crate::cli::args::BootArgs;
use crate::spread::Spread;

/// From this number of CPUs on, what comes before the first SIPI no longer matters much, so growth means something.
const GROWTH_FROM: u32 = 64;

/// All of it.
#[derive(Debug)]
pub(super) struct Results {
    engine: Engine,
    machine: &'static str,
    /// How the CPUs are started that are not started one by one.
    way: StartMode,
    rounds: u32,
    rows: Vec<Row>,
}

/// A number of CPUs.
#[derive(Debug)]
struct Row {
    cpus: u32,
    all_at_once: Vec<Sample>,
    one_by_one: Vec<Sample>,
}

impl Results {
    pub(super) fn new(args: &BootArgs, counts: impl Iterator<Item = u32>, rounds: u32) -> Self {
        let row = |cpus| Row { cpus, all_at_once: Vec::new(), one_by_one: Vec::new() };
        Self {
            engine: args.accel.engine(Host::probe()),
            machine: args.machine.name(),
            way: args.kernel.0.start,
            rounds,
            rows: counts.map(row).collect(),
        }
    }

    /// Adds the times of a boot.
    pub(super) fn add(&mut self, cpus: u32, way: StartMode, sample: Sample) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.cpus == cpus) {
            let samples = match way == self.way {
                true => &mut row.all_at_once,
                false => &mut row.one_by_one,
            };
            samples.push(sample);
        }
    }

    /// The same for programs. Keys are only ever added.
    pub(super) fn json(&self) -> Value {
        let row = |row: &Row| {
            let [at_once, one_by_one] = [&row.all_at_once, &row.one_by_one];
            json!({
                "cpus": row.cpus,
                "first_line_us": first_line(at_once),
                "online_us": online(at_once),
                "whole_us": whole(at_once),
                "serial_online_us": online(one_by_one),
                "serial_whole_us": whole(one_by_one),
            })
        };
        json!({
            "machine": self.machine,
            "accel": self.engine.name(),
            "host_cpus": std::thread::available_parallelism().map_or(1, usize::from),
            // How the CPUs were started that were not started one by one.
            "start": self.way.name(),
            "rounds": self.rounds,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "growth_per_ap": self.growth(),
        })
    }

    /// How many times the time per AP grows from [`GROWTH_FROM`] CPUs to the most, if that is more.
    fn growth(&self) -> Option<f64> {
        let from = self.rows.iter().find(|row| row.cpus == GROWTH_FROM)?;
        let to = self.rows.last().filter(|row| row.cpus > GROWTH_FROM)?;
        let [a, b] = [from, to].map(|row| per_ap_ns(online(&row.all_at_once)?, row.cpus));
        Some(b? as f64 / a.filter(|&ns| ns > 0)? as f64)
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "QEMU {}, {}; medians of {}, least..most. All online: from the first INIT to the last check-in, by \
             the guest's\nclock. The rest by the host's, from the start of QEMU.\n",
            self.machine, self.engine, self.rounds
        )?;
        let (way, other) = (self.way.name(), StartMode::Serial.name());
        writeln!(
            f,
            "vCPUs  1st line  all online: {way:<9}           per AP  {other:<25}    per AP  ratio  whole run"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        if let (Some(growth), Some(last)) = (self.growth(), self.rows.last()) {
            writeln!(
                f,
                "\nFrom {GROWTH_FROM} to {} CPUs the time per AP grows {growth:.2} times (1: linear; less is better).",
                last.cpus
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = |spread: Option<Spread>| or_dash(spread.map(|s| nanos(s.median)));
        let (parallel, serial) = (online(&self.all_at_once), online(&self.one_by_one));
        let per_ap = |spread: Option<Spread>| spread.and_then(|s| per_ap_ns(s, self.cpus));
        let ratio = per_ap(serial).zip(per_ap(parallel).filter(|&ns| ns > 0));
        write!(
            f,
            "{:>5}  {:>8}  {:>27}  {:>8}  {:>27}  {:>8}  {:>5}  {:>9}",
            self.cpus,
            median(first_line(&self.all_at_once)),
            range(parallel.filter(|_| self.cpus > 1)),
            or_dash(per_ap(parallel).map(Nanos)),
            range(serial),
            or_dash(per_ap(serial).map(Nanos)),
            or_dash(
                ratio.map(|(serial, parallel)| format!("{:.1}", serial as f64 / parallel as f64))
            ),
            median(whole(&self.all_at_once)),
        )
    }
}

fn first_line(samples: &[Sample]) -> Option<Spread> {
    Spread::of(samples.iter().map(|sample| micros(sample.first_line)))
}

fn online(samples: &[Sample]) -> Option<Spread> {
    Spread::of(samples.iter().map(|sample| sample.online_us))
}

fn whole(samples: &[Sample]) -> Option<Spread> {
    Spread::of(samples.iter().map(|sample| micros(sample.whole)))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The median's share of each CPU that had to be started.
fn per_ap_ns(online_us: Spread, cpus: u32) -> Option<u64> {
    let aps = u64::from(cpus.checked_sub(1).filter(|&aps| aps > 0)?);
    Some(online_us.median.saturating_mul(1000) / aps)
}

fn nanos(micros: u64) -> Nanos {
    Nanos(micros.saturating_mul(1000))
}

/// `12.3 ms 11.0 ms..13.1 ms`.
fn range(spread: Option<Spread>) -> String {
    or_dash(spread.map(|spread| {
        let [min, median, max] = spread.all().map(nanos);
        let range = format!("{min}..{max}");
        format!("{median:>7} {range:>19}")
    }))
}

fn or_dash(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_string(), |value| value.to_string())
}
