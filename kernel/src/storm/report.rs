//! The storm's reports, each second and at the end, and its verdict.

use alloc::{format, string::String};
use core::{
    array,
    fmt::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use protocol::{
    event::Event,
    exit::ExitCode,
    histogram::Histogram,
    human::Count,
    storm::{CpuLine, Lane, Totals},
};

use super::{shared::Storm, stormed::Tally};
use crate::{
    cpu::{self, CpuIndex},
    log,
    log::emit,
    screen,
};

/// The times of one variant's teardowns.
#[derive(Default)]
pub(super) struct Times {
    pub(super) teardowns: u64,
    /// How long this variant was the one in use, in nanoseconds.
    pub(super) busy: u64,
    close: Histogram,
    drain: Histogram,
}

impl Times {
    pub(super) fn record(&mut self, [close, drain]: [u64; 2]) {
        self.teardowns += 1;
        self.close.record(close);
        self.drain.record(drain);
    }
}

/// The figures up to now. `elapsed` is in nanoseconds. While CPUs are at work, counts that belong
/// together may be a few uses apart.
pub(super) fn totals(last: bool, elapsed: u64, storm: &Storm, times: &[Times]) -> Totals {
    let variants = array::from_fn(|place| {
        let (variant, times) = (&storm.variants[place], &times[place]);
        let sum = |of: fn(&Tally) -> &AtomicU64| {
            cpu::online().map(|cpu| get(of(variant.tally(cpu)))).sum()
        };
        Lane {
            busy_ms: times.busy / 1_000_000,
            grants: sum(|tally| &tally.grants),
            refusals: sum(|tally| &tally.refusals),
            teardowns: times.teardowns,
            violations: variant.violations(),
            close: times.close.latency(),
            drain: times.drain.latency(),
        }
    });
    Totals { last, elapsed_ms: elapsed / 1_000_000, cpus: cpu::count() as u32, variants }
}

/// Everything for a host; for a person at the serial port one line while the storm goes on and
/// tables at the end, at the screen the tables all the time.
pub(super) fn show(totals: &Totals, storm: &Storm) {
    let lines = cpu::online().map(|cpu| cpu_line(storm, cpu));
    log::in_place(|out| on_screen(out, totals, lines.clone()));
    if log::is_json() {
        emit(&Event::Storm(*totals));
        lines.for_each(|line| emit(&Event::StormCpu(line)));
    } else if totals.last {
        log::to_serial(CpuLine::HEADER);
        lines.for_each(log::to_serial);
        log::to_serial(totals.lanes());
    } else {
        log::to_serial(totals);
    }
}

/// As many CPUs as leave room for all else, the verdict included.
fn on_screen(
    out: &mut dyn Write,
    totals: &Totals,
    mut lines: impl Iterator<Item = CpuLine>,
) -> fmt::Result {
    const ELSE: usize = 19;
    let room = screen::rows().saturating_sub(ELSE);
    writeln!(out, "\n{totals}\n{}", CpuLine::HEADER)?;
    lines.by_ref().take(room).try_for_each(|line| writeln!(out, "{line}"))?;
    match lines.count() {
        0 => {}
        more => writeln!(out, " ... and {more} more CPUs")?,
    }
    writeln!(out, "\n{}", totals.lanes())
}

fn cpu_line(storm: &Storm, cpu: CpuIndex) -> CpuLine {
    let tallies = storm.variants.each_ref().map(|variant| variant.tally(cpu));
    let sum = |of: fn(&Tally) -> &AtomicU64| tallies.iter().map(|tally| get(of(tally))).sum();
    CpuLine {
        index: cpu.get() as u32,
        apic_id: cpu::apic_id(cpu).get(),
        grants: tallies.map(|tally| get(&tally.grants)),
        irq_grants: sum(|tally| &tally.irq_grants),
        refusals: sum(|tally| &tally.refusals),
        released_for_others: sum(|tally| &tally.released_for_others),
    }
}

/// Relaxed: counters, nothing is read because of them.
fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Judges the last report, logs the verdict, and returns how the kernel is to end.
pub(super) fn verdict(totals: &Totals, storm: &Storm) -> ExitCode {
    let fault = match totals.violations() {
        0 => missing(totals, storm),
        _ => Some(String::from("promises were broken")),
    };
    let verdict = match &fault {
        None => "PASSED".into(),
        Some(fault) => format!("FAILED ({fault})"),
    };
    let text = format!(
        "storm: {} of {} CPUs, {} teardowns, {} grants, {} violations: {verdict}",
        totals.cpus,
        cpu::enabled(),
        totals.sum(|variant| variant.teardowns),
        Count(totals.sum(|variant| variant.grants)),
        totals.violations(),
    );
    log::verdict(fault.is_none(), &text)
}

/// An event that the storm should have had, but had not.
fn missing(totals: &Totals, storm: &Storm) -> Option<String> {
    let lines = || cpu::online().map(|cpu| cpu_line(storm, cpu));
    if let Some(line) = lines().find(|line| line.grants.iter().all(|grants| *grants == 0)) {
        return Some(format!("CPU {} was never granted protection", line.index));
    }
    let what = if lines().all(|line| line.irq_grants == 0) {
        "nothing was granted in interrupt context"
    } else if totals.cpus > 1 && lines().all(|line| line.released_for_others == 0) {
        "nothing was released for another CPU"
    } else {
        return None;
    };
    Some(what.into())
}
