//! The main job: the kernel itself, for a second or two.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use boot::{Machine, Report};
use protocol::event::Event;
use protocol::storm::{CpuLine, Totals, VARIANTS};
use tests::Case;
use tests::shape::Shape;

fn main() -> ExitCode {
    let mut cases: Vec<_> = ["1", "2", "3", "4", "8", "16", "64"]
        .map(|smp| Case::kernel(smp, 1))
        .into();
    cases.push(Case::kernel("9,sockets=3,cores=3,threads=1", 1));
    cases.push(Case::kernel("9,sockets=3,cores=3,threads=1", 1).ghost(3));
    cases.push(Case::kernel("4", 1).on(Machine::Microvm));
    cases.push(
        Case::kernel("2", 3)
            .named("live_report")
            .also(one_report_a_second),
    );
    let cases = cases.into_iter().map(|case| {
        let shape = case.shape();
        case.also(move |report| storm_did_its_work(report, &shape))
    });
    tests::main("storm", cases.collect())
}

/// Nothing was violated, and that is worth something: every CPU took part, in every way.
fn storm_did_its_work(report: &Report, shape: &Shape) -> Result<()> {
    let (totals, lines) = last_report(&report.events).context("there is no last report")?;
    for (lane, name) in totals.variants.iter().zip(VARIANTS) {
        ensure!(
            lane.violations == 0,
            "{name}: {} violations",
            lane.violations
        );
        ensure!(lane.teardowns > 0, "{name}: nothing was torn down");
        ensure!(lane.grants > 0, "{name}: nothing was granted");
        let in_order = |latency: &protocol::storm::Latency| {
            latency.min_ns <= latency.median_ns && latency.median_ns <= latency.p99_ns
        };
        ensure!(
            in_order(&lane.close) && in_order(&lane.drain),
            "{name}: {lane:?}"
        );
    }
    ensure!(totals.cpus == shape.cpus, "{} CPUs took part", totals.cpus);
    let numbers: Vec<_> = lines
        .iter()
        .map(|line| (line.index, line.apic_id))
        .collect();
    let expected: Vec<_> = shape
        .table()
        .iter()
        .map(|cpu| (cpu.index, cpu.apic_id))
        .collect();
    ensure!(
        numbers == expected,
        "lines of CPUs {numbers:?} instead of {expected:?}"
    );

    for line in &lines {
        let grants = line.grants.iter().sum::<u64>();
        ensure!(grants > 0, "CPU {} was granted nothing", line.index);
        ensure!(line.irq_grants <= grants, "CPU {}: {line:?}", line.index);
    }
    let sum = |of: fn(&CpuLine) -> u64| lines.iter().map(of).sum::<u64>();
    for (variant, name) in VARIANTS.iter().enumerate() {
        let grants = lines.iter().map(|line| line.grants[variant]).sum::<u64>();
        let all = totals.variants[variant].grants;
        ensure!(grants == all, "{name}: grants do not add up");
    }
    ensure!(
        sum(|line| line.irq_grants) > 0,
        "no handler was granted anything"
    );
    if shape.cpus > 1 {
        ensure!(
            sum(|line| line.released_for_others) > 0,
            "nothing was released for another CPU"
        );
    }
    Ok(())
}

/// The totals marked as last, and the lines of the CPUs after them.
fn last_report(events: &[Event<'static>]) -> Option<(Totals, Vec<CpuLine>)> {
    let place = events
        .iter()
        .position(|event| matches!(event, Event::Storm(totals) if totals.last))?;
    let Event::Storm(totals) = &events[place] else {
        return None;
    };
    let lines = events[place + 1..].iter().map_while(|event| match event {
        Event::StormCpu(line) => Some(*line),
        _ => None,
    });
    Some((*totals, lines.collect()))
}

/// A storm of three seconds is reported before it is over, and its counts only grow.
fn one_report_a_second(report: &Report) -> Result<()> {
    let reports: Vec<_> = report
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Storm(totals) => Some(totals),
            _ => None,
        })
        .collect();
    ensure!(
        reports.len() >= 2,
        "{} reports in three seconds",
        reports.len()
    );
    for pair in reports.windows(2) {
        ensure!(!pair[0].last, "a report after the last one");
        ensure!(pair[0].elapsed_ms <= pair[1].elapsed_ms, "time goes back");
        let grants = |totals: &Totals| totals.variants.map(|lane| lane.grants);
        let grew = grants(pair[0]).into_iter().zip(grants(pair[1]));
        for ((before, after), name) in grew.zip(VARIANTS) {
            ensure!(before <= after, "{name}: grants go back");
        }
    }
    Ok(())
}
