//! The main job: the kernel itself, for a second or two.

use anyhow::{Context, Result, ensure};
use boot::{MachineType, Report};
use protocol::event::Event;
use protocol::storm::{CpuLine, Totals, VARIANTS};
use tests::shape::Shape;
use tests::{Case, events};

use crate::{SEEDS, SIZES, SPARSE};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = SIZES.iter().map(|smp| Case::kernel(smp, 1)).collect();
    cases.extend(SEEDS.map(|(smp, seed)| Case::kernel(smp, 1).seeded(seed)));
    cases.push(Case::kernel(SPARSE, 1).ghost(3));
    cases.push(Case::kernel("4", 1).on(MachineType::Microvm));
    cases.push(Case::kernel("2", 3).named("live_report").also(one_report_a_second));
    let cases = cases.into_iter().map(|case| {
        let shape = case.shape();
        case.also(move |report| storm_did_its_work(report, &shape))
    });
    cases.collect()
}

/// Nothing was violated, and that is worth something: every CPU took part, in every way.
fn storm_did_its_work(report: &Report, shape: &Shape) -> Result<()> {
    let (totals, lines) = last_report(&report.events).context("there is no last report")?;
    let sum = |of: &dyn Fn(&CpuLine) -> u64| lines.iter().map(of).sum::<u64>();
    for (variant, name) in VARIANTS.iter().enumerate() {
        let lane = &totals.variants[variant];
        let in_order = |latency: &protocol::storm::Latency| {
            latency.min_ns <= latency.median_ns && latency.median_ns <= latency.p99_ns
        };
        let is_right = lane.violations == 0
            && lane.teardowns > 0
            && lane.grants > 0
            && in_order(&lane.close)
            && in_order(&lane.drain);
        ensure!(is_right, "{name}: {lane:?}");
        let grants = sum(&|line| line.grants[variant]);
        ensure!(grants == lane.grants, "{name}: grants do not add up");
    }
    ensure!(totals.cpus == shape.cpus, "{} CPUs took part", totals.cpus);
    let numbers = lines.iter().map(|line| (line.index, line.apic_id));
    let table = shape.table();
    let expected = table.iter().map(|cpu| (cpu.index, cpu.apic_id));
    ensure!(numbers.eq(expected), "lines of other CPUs: {lines:?}");
    for line in &lines {
        let grants = line.grants.iter().sum::<u64>();
        ensure!(grants > 0, "CPU {} was granted nothing", line.index);
        ensure!(line.irq_grants <= grants, "CPU {}: {line:?}", line.index);
    }
    let in_handlers = sum(&|line| line.irq_grants);
    ensure!(in_handlers > 0, "no handler was granted anything");
    let for_others = sum(&|line| line.released_for_others);
    ensure!(for_others > 0 || shape.cpus == 1, "nothing was released for another CPU");
    Ok(())
}

/// The totals marked as last, and the lines of the CPUs after them.
fn last_report(events: &[Event<'static>]) -> Option<(Totals, Vec<CpuLine>)> {
    let is_last = |event: &Event<'_>| matches!(event, Event::Storm(totals) if totals.last);
    let mut events = events.iter().skip_while(|event| !is_last(event));
    let Event::Storm(totals) = events.next()? else {
        return None;
    };
    let lines = events.map_while(|event| match event {
        Event::StormCpu(line) => Some(*line),
        _ => None,
    });
    Some((*totals, lines.collect()))
}

/// A storm of three seconds is reported before it is over, and its counts only grow.
fn one_report_a_second(report: &Report) -> Result<()> {
    let reports: Vec<_> = events!(report, Event::Storm(totals) => totals).collect();
    ensure!(reports.len() >= 2, "{} in three seconds", reports.len());
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
