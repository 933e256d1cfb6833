//! The results of many boots: tables for people, a document for programs.

use std::fmt;

use protocol::human::Nanos;
use protocol::options::StartMode;
use serde_json::{Value, json};

use super::Sample;
use crate::accel::{Engine, Host};
use crate::cli::args::BootArgs;
use crate::machine::MachineType;
use crate::spread::Spread;

/// From this many CPUs on, the time before the first SIPI hardly matters: growth is meaningful.
const GROWTH_FROM: u32 = 64;

/// All of it.
#[derive(Debug)]
pub(super) struct Results {
    engine: Engine,
    machine: MachineType,
    /// How the CPUs are started that are not started one by one.
    way: StartMode,
    rounds: u32,
    rows: Vec<Row>,
}

/// A number of CPUs.
#[derive(Debug)]
struct Row {
    cpus: u32,
    /// All at once, and one by one.
    samples: [Vec<Sample>; 2],
}

impl Results {
    pub(super) fn new(args: &BootArgs, counts: impl Iterator<Item = u32>, rounds: u32) -> Self {
        let row = |cpus| Row { cpus, samples: Default::default() };
        Self {
            engine: args.accel.engine(Host::probe()),
            machine: args.machine,
            way: args.kernel.0.start,
            rounds,
            rows: counts.map(row).collect(),
        }
    }

    /// Adds the times of a boot.
    pub(super) fn add(&mut self, cpus: u32, way: StartMode, sample: Sample) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.cpus == cpus) {
            row.samples[usize::from(way != self.way)].push(sample);
        }
    }

    /// The same for programs. Keys are only ever added.
    pub(super) fn json(&self) -> Value {
        let row = |row: &Row| {
            let [at_once, one_by_one] = &row.samples;
            json!({
                "cpus": row.cpus,
                "first_line_us": spread(at_once, |it| it.first_line_us),
                "online_us": spread(at_once, |it| it.online_us),
                "whole_us": spread(at_once, |it| it.whole_us),
                "serial_online_us": spread(one_by_one, |it| it.online_us),
                "serial_whole_us": spread(one_by_one, |it| it.whole_us),
            })
        };
        json!({
            "machine": self.machine.to_string(),
            "accel": self.engine.to_string(),
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
        let [a, b] = [from, to].map(|row| row.per_ap_ns()[0]);
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

impl Row {
    /// From the first INIT to the last check-in, all at once and one by one.
    fn online(&self) -> [Option<Spread>; 2] {
        self.samples.each_ref().map(|samples| spread(samples, |it| it.online_us))
    }

    /// The medians' share of each CPU that had to be started.
    fn per_ap_ns(&self) -> [Option<u64>; 2] {
        let aps = u64::from(self.cpus) - 1;
        self.online().map(|online| online?.median.saturating_mul(1000).checked_div(aps))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at_once, aps) = (&self.samples[0], self.cpus - 1);
        let median = |spread: Option<Spread>| or_dash(spread.map(|it| nanos(it.median)));
        let [parallel, serial] = self.online();
        let [parallel_ns, serial_ns] = self.per_ap_ns();
        let ratio = serial_ns.zip(parallel_ns.filter(|&ns| ns > 0));
        write!(
            f,
            "{:>5}  {:>8}  {:>27}  {:>8}  {:>27}  {:>8}  {:>5}  {:>9}",
            self.cpus,
            median(spread(at_once, |it| it.first_line_us)),
            range(parallel.filter(|_| aps > 0)),
            or_dash(parallel_ns.map(Nanos)),
            range(serial),
            or_dash(serial_ns.map(Nanos)),
            or_dash(
                ratio.map(|(serial, parallel)| format!("{:.1}", serial as f64 / parallel as f64))
            ),
            median(spread(at_once, |it| it.whole_us)),
        )
    }
}

fn spread(samples: &[Sample], figure: impl Fn(&Sample) -> u64) -> Option<Spread> {
    Spread::of(samples.iter().map(figure))
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
