//! The bench: that everything is measured which is to be, and nothing stays held. Not how fast: that is
//! another machine's affair each time.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use boot::{Machine, Report};
use protocol::bench::{Barrier, Contender, Ground, Line, Pairs, Plan, Progress, Teardown};
use protocol::event::Event;
use protocol::storm::Latency;
use tests::Case;

fn main() -> ExitCode {
    let bench = |smp, steps: &'static [u32]| {
        Case::bench(smp).also(move |report| everything_is_measured(report, steps))
    };
    let cases = vec![
        bench("1", &[1]),
        bench("2", &[1, 2]),
        bench("4", &[1, 2, 4]),
        bench("16", &[1, 2, 4, 8, 16]),
        bench("9,sockets=3,cores=3,threads=1", &[1, 2, 4, 8, 9]),
        bench("4", &[1, 2, 4]).on(Machine::Microvm),
        // The CPU that is not there is not waited for.
        bench("3", &[1, 2, 3]).ghost(7),
    ];
    tests::main("bench", cases)
}

/// Every contender and variant, with every number of CPUs, in order, once.
fn everything_is_measured(report: &Report, steps: &[u32]) -> Result<()> {
    let figures = Figures::of(report);
    let [plan] = figures.plans[..] else {
        anyhow::bail!("plans: {:?}", figures.plans);
    };
    ensure!(plan.millis == 2, "{plan:?}");
    ensure!(Some(&plan.cpus) == steps.last(), "{plan:?}");
    let emulated = report.command.contains("-accel tcg");
    ensure!((plan.ground == Ground::Emulated) == emulated, "{plan:?}");

    let measured: Vec<_> = figures
        .pairs
        .iter()
        .map(|l| (l.cpus, l.contender))
        .collect();
    ensure!(
        measured == each_with(steps, &Contender::ALL),
        "{measured:?}"
    );
    let torn_down: Vec<_> = figures
        .teardowns
        .iter()
        .map(|l| (l.cpus, l.variant))
        .collect();
    ensure!(
        torn_down == each_with(steps, &Contender::VARIANTS),
        "{torn_down:?}"
    );
    let barriers: Vec<_> = figures.barriers.iter().map(|line| line.cpus).collect();
    ensure!(barriers == steps, "{barriers:?}");

    figures.pairs.iter().try_for_each(are_pairs)?;
    figures.teardowns.iter().try_for_each(is_teardown)?;
    figures.barriers.iter().try_for_each(is_barrier)?;
    progress_is_steady(&figures.progress)
}

fn each_with(steps: &[u32], contenders: &[Contender]) -> Vec<(u32, Contender)> {
    let with = |&cpus: &u32| contenders.iter().map(move |&contender| (cpus, contender));
    steps.iter().flat_map(with).collect()
}

fn are_pairs(line: &Pairs) -> Result<()> {
    ensure!(line.left == 0, "not drained: {line:?}");
    ensure!(line.slowest_cpu > 0, "a CPU did nothing: {line:?}");
    ensure!(
        line.slowest_cpu <= line.per_cpu(),
        "above average: {line:?}"
    );
    ensure!(
        line.least <= line.per_second && line.per_second <= line.most,
        "no median: {line:?}"
    );
    Ok(())
}

fn is_teardown(line: &Teardown) -> Result<()> {
    ensure!(line.left == 0, "not drained: {line:?}");
    ensure!(line.times > 0, "{line:?}");
    ensure!(in_order(&line.close) && in_order(&line.drain), "{line:?}");
    Ok(())
}

fn is_barrier(line: &Barrier) -> Result<()> {
    ensure!(line.times > 0 && in_order(&line.time), "{line:?}");
    Ok(())
}

fn in_order(latency: &Latency) -> bool {
    latency.min_ns <= latency.median_ns && latency.median_ns <= latency.p99_ns
}

/// One step after the other, to the last.
fn progress_is_steady(progress: &[Progress]) -> Result<()> {
    for (done, step) in (1..).zip(progress) {
        ensure!(step.done == done, "{step:?} is step {done}");
    }
    let all = progress.last().map(|last| last.of as usize);
    ensure!(
        all == Some(progress.len()),
        "{} steps of {all:?}",
        progress.len()
    );
    Ok(())
}

/// What the guest said, by sort.
#[derive(Default)]
struct Figures {
    plans: Vec<Plan>,
    progress: Vec<Progress>,
    pairs: Vec<Pairs>,
    teardowns: Vec<Teardown>,
    barriers: Vec<Barrier>,
}

impl Figures {
    fn of(report: &Report) -> Self {
        let mut figures = Self::default();
        for event in &report.events {
            match event {
                Event::Bench(Line::Plan(plan)) => figures.plans.push(*plan),
                Event::Bench(Line::Progress(progress)) => figures.progress.push(*progress),
                Event::Bench(Line::Pairs(line)) => figures.pairs.push(*line),
                Event::Bench(Line::Teardown(line)) => figures.teardowns.push(*line),
                Event::Bench(Line::Barrier(line)) => figures.barriers.push(*line),
                _ => {}
            }
        }
        figures
    }
}
