//! What the storm shows: each second, at the end, and in one line.

use alloc::{boxed::Box, format, string::String};
use core::sync::atomic::{AtomicU64, Ordering};

use protocol::{
    event::Event,
    exit::ExitCode,
    histogram::Histogram,
    human::Count,
    storm::{CpuLine, Lane, Totals},
};

use super::{
    lane::{Tally, Teardown},
    shared::{Protection, Storm},
};
use crate::{
    cpu::{self, CpuIndex},
    log,
    log::emit,
};

/// What the closer measures of one lane.
#[derive(Default)]
pub(super) struct Times {
    pub(super) teardowns: u64,
    /// How long this lane was the one in use, in nanoseconds.
    pub(super) busy: u64,
    pub(super) close: Histogram,
    pub(super) drain: Histogram,
}

impl Times {
    pub(super) fn record(&mut self, teardown: Teardown) {
        self.teardowns += 1;
        self.close.record(teardown.close);
        self.drain.record(teardown.drain);
    }
}

/// The figures up to now. `elapsed` is in nanoseconds. While CPUs are at work, counts that belong
/// together may be a few uses apart.
pub(super) fn totals(last: bool, elapsed: u64, storm: &Storm, times: &[Box<Times>; 2]) -> Totals {
    let [cache_aware, plain] = Protection::ALL.map(|variant| {
        let lane = storm.lane(variant);
        let times = &times[variant as usize];
        let sum = |field: fn(&Tally) -> &AtomicU64| {
            cpu::online().map(|cpu| get(field(lane.tally(cpu)))).sum()
        };
        Lane {
            busy_ms: times.busy / 1_000_000,
            grants: sum(|tally| &tally.grants),
            refusals: sum(|tally| &tally.refusals),
            teardowns: times.teardowns,
            violations: lane.violations(),
            close: times.close.latency(),
            drain: times.drain.latency(),
        }
    });
    Totals {
        last,
        elapsed_ms: elapsed / 1_000_000,
        cpus: cpu::count() as u32,
        cache_aware,
        plain,
    }
}

/// A report while the storm goes on: everything for a host, one line for a person.
pub(super) fn live(totals: &Totals, storm: &Storm) {
    if log::is_json() {
        events(totals, storm);
    } else {
        log::plain(totals);
    }
}

/// The report at the end: everything.
pub(super) fn last(totals: &Totals, storm: &Storm) {
    if log::is_json() {
        events(totals, storm);
        return;
    }
    log::plain(CpuLine::HEADER);
    cpu::online().for_each(|cpu| log::plain(cpu_line(storm, cpu)));
    log::plain(totals.lanes());
}

fn events(totals: &Totals, storm: &Storm) {
    emit(&Event::Storm(*totals));
    for cpu in cpu::online() {
        emit(&Event::StormCpu(cpu_line(storm, cpu)));
    }
}

fn cpu_line(storm: &Storm, cpu: CpuIndex) -> CpuLine {
    let [cache_aware, plain] = Protection::ALL.map(|variant| storm.lane(variant).tally(cpu));
    CpuLine {
        index: cpu.get() as u32,
        apic_id: cpu::apic_id(cpu).get(),
        grants: get(&cache_aware.grants),
        irq_grants: get(&cache_aware.irq_grants),
        refusals: get(&cache_aware.refusals),
        released_for_others: get(&cache_aware.released_for_others)
            + get(&plain.released_for_others),
        plain_grants: get(&plain.grants),
    }
}

/// Relaxed: counters, nothing is read because of them.
fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Judges the last report, says the verdict, and how the kernel is to end. CPUs that never came online have been
/// named by bring-up; they are told again, but the promises were kept among those that run.
pub(super) fn verdict(totals: &Totals, storm: &Storm) -> ExitCode {
    let fault = match totals.violations() {
        0 => idle(totals, storm),
        _ => Some(String::from("promises were broken")),
    };
    let figures = format!(
        "storm: {} of {} CPUs, {} teardowns, {} grants, {} violations",
        totals.cpus,
        cpu::listed(),
        totals.cache_aware.teardowns + totals.plain.teardowns,
        Count(totals.cache_aware.grants + totals.plain.grants),
        totals.violations(),
    );
    match fault {
        None => log::verdict(true, &format!("{figures}: PASSED")),
        Some(fault) => log::verdict(false, &format!("{figures}: FAILED ({fault})")),
    }
}

/// What should have happened in the storm but did not: a storm that was none must not pass.
fn idle(totals: &Totals, storm: &Storm) -> Option<String> {
    let lines = || cpu::online().map(|cpu| cpu_line(storm, cpu));
    if let Some(line) = lines().find(|line| line.grants == 0) {
        return Some(format!("CPU {} was never granted protection", line.index));
    }
    if totals.cache_aware.teardowns == 0 || totals.plain.teardowns == 0 {
        return Some(String::from("nothing was torn down"));
    }
    if lines().all(|line| line.irq_grants == 0) {
        return Some(String::from("nothing was granted in interrupt context"));
    }
    if totals.cpus > 1 && lines().all(|line| line.released_for_others == 0) {
        return Some(String::from("nothing was released for another CPU"));
    }
    None
}
