//! How the CPUs of one boot started: the progress of each, and which waited for which.
//!
//! Made from what the kernel reports if its job is `timeline`: [`Steps`] of the BSP and [`Stamps`]
//! of each other CPU, all in nanoseconds from the first INIT.

mod draw;

use std::fmt;

use protocol::human::Nanos;
use protocol::options::StartMode;
use protocol::start::{PHASES, Stamps, Steps};

use crate::spread::Spread;

/// A timeline.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    way: StartMode,
    steps: Steps,
    /// All CPUs but the BSP, in the order of their indices.
    cpus: Vec<Stamps>,
}

/// A stretch of one CPU's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// Its activity: a place in [`BSP_PARTS`] or in [`cpu_parts`].
    part: usize,
    from_ns: u64,
    to_ns: u64,
}

/// The BSP's steps, in this order.
const BSP_PARTS: [&str; 4] = [
    "prepares for all CPUs",
    "waits out the pause after INIT",
    "waits after the first SIPI",
    "waits for the CPUs",
];

/// Any other CPU's parts from the first SIPI on, in this order: it waits until it runs, goes
/// through the phases, and waits for the last CPU.
fn cpu_parts() -> impl Iterator<Item = String> {
    let started = std::iter::once("does not run yet".to_string());
    let phases = PHASES[1..].iter().map(|phase| format!("to: {phase}"));
    let waits = std::iter::once("online, the last is not".to_string());
    started.chain(phases).chain(waits)
}

impl Timeline {
    /// A timeline of what the kernel has reported; `None` if that is not enough.
    pub(crate) fn new(way: StartMode, steps: Option<Steps>, stamps: &[Stamps]) -> Option<Self> {
        // The BSP has no such moments.
        let started = stamps.iter().filter(|cpu| cpu.at_ns.iter().any(|&at| at > 0));
        let mut cpus: Vec<_> = started.copied().map(in_order).collect();
        cpus.sort_unstable_by_key(|cpu| cpu.index);
        let steps = steps.filter(|_| !cpus.is_empty())?;
        Some(Self { way, steps, cpus })
    }

    /// The end of the story.
    fn end_ns(&self) -> u64 {
        let last = self.cpus.iter().map(online_ns).max();
        self.steps.all_ns.max(last.unwrap_or_default())
    }

    /// The CPUs that came online last and last but one.
    fn last(&self) -> (&Stamps, Option<&Stamps>) {
        let mut cpus: Vec<_> = self.cpus.iter().collect();
        cpus.sort_by_key(|cpu| std::cmp::Reverse(online_ns(cpu)));
        (cpus[0], cpus.get(1).copied())
    }

    /// When the BSP did each step.
    fn bsp(&self) -> Vec<Span> {
        let Steps { prepared_ns, sipi_ns, second_sipi_ns, .. } = self.steps;
        let second = match (second_sipi_ns, self.way) {
            // One by one there is such a moment for each CPU; this is the last one's.
            (0, _) | (_, StartMode::Serial) => sipi_ns,
            (sent, _) => sent,
        };
        spans(0, [prepared_ns, sipi_ns, second, self.end_ns()])
    }

    /// When another CPU did each part, from the first SIPI on.
    fn cpu(&self, cpu: &Stamps) -> Vec<Span> {
        let moments = cpu.at_ns.into_iter().chain([self.end_ns()]);
        spans(self.steps.sipi_ns, moments)
    }

    /// How long the CPUs took for each part, and which took longest.
    fn lengths(&self) -> Vec<(String, Spread, u32)> {
        let spans: Vec<_> = self.cpus.iter().map(|cpu| (cpu, self.cpu(cpu))).collect();
        let row = |(part, name)| {
            let lengths = spans.iter().map(|(cpu, spans)| {
                let mine = spans.iter().filter(|span| span.part == part);
                let length = mine.map(|span| span.to_ns - span.from_ns).sum::<u64>();
                (length, cpu.index)
            });
            let slowest = lengths.clone().max_by_key(|(length, _)| *length);
            let spread = Spread::of(lengths.map(|(length, _)| length));
            Some((name, spread?, slowest?.1))
        };
        cpu_parts().enumerate().filter_map(row).collect()
    }
}

/// The table and the sentences that go with the picture.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = "one CPU's time";
        writeln!(f, "{label:<32}      min   median      max  longest on")?;
        for (name, spread, slowest) in self.lengths() {
            let [min, median, max] = spread.all().map(Nanos);
            writeln!(f, "{name:<32} {min:>8} {median:>8} {max:>8}  CPU {slowest}")?;
        }
        let steps = &self.steps;
        let [prepared, sipi, second] =
            [steps.prepared_ns, steps.sipi_ns, steps.second_sipi_ns].map(Nanos);
        writeln!(
            f,
            "\nFrom the first INIT: the BSP was prepared after {prepared} and sent the first SIPI after {sipi};"
        )?;
        match (steps.second_sipi_ns, steps.seconds) {
            (0, _) | (_, 0) => writeln!(f, "no CPU needed a second one.")?,
            (_, 1) => writeln!(f, "1 CPU needed a second one, sent after {second}.")?,
            (_, n) => {
                writeln!(f, "{n} CPUs needed a second one, sent after {second} at the latest.")?
            }
        }
        let (last, before) = self.last();
        let at = online_ns(last);
        write!(f, "CPU {} was online last, after {}", last.index, Nanos(at))?;
        if let Some(before) = before {
            let alone = Nanos(at - online_ns(before));
            write!(f, ": {alone} after CPU {}, the last but one", before.index)?;
        }
        let seen = Nanos(steps.all_ns.saturating_sub(at));
        writeln!(f, ". The BSP saw it {seen} later.")?;
        for cpu in self.cpus.iter().filter(|cpu| cpu.attempts > 1) {
            let Stamps { index, apic_id, attempts, .. } = cpu;
            writeln!(f, "CPU {index} (APIC ID {apic_id}) was started {attempts} times.")?;
        }
        Ok(())
    }
}

fn online_ns(cpu: &Stamps) -> u64 {
    cpu.at_ns[PHASES.len() - 1]
}

/// A moment that was not kept counts as that before it, and so does one that was taken by a clock
/// that is behind: nothing takes less than no time.
fn in_order(mut cpu: Stamps) -> Stamps {
    let mut latest = 0;
    for at in &mut cpu.at_ns {
        latest = latest.max(*at);
        *at = latest;
    }
    cpu
}

/// The spans between these moments, without those that took no time.
fn spans(begin_ns: u64, moments: impl IntoIterator<Item = u64>) -> Vec<Span> {
    let mut from_ns = begin_ns;
    let span = |(part, at): (usize, u64)| {
        let to_ns = at.max(from_ns);
        let span = Span { part, from_ns, to_ns };
        from_ns = to_ns;
        (span.to_ns > span.from_ns).then_some(span)
    };
    moments.into_iter().enumerate().filter_map(span).collect()
}

#[cfg(test)]
mod tests;
