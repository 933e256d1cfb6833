//! `cargo boot explore`: many seeds, until one of them fails.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use protocol::options::{Options, Scenario};

use super::args::ExploreArgs;
use super::screen::styled;
use super::{kernel, print, refuse, run, status};
use crate::outcome::Outcome;
use crate::run::{Boot, Report};

/// A seed, and the number of CPUs.
type Run = (u32, u32);

/// A run that did not pass, or could not be tried.
type Stop = (Run, anyhow::Result<Report>);

/// Lines of a failed run that are shown: the last ones.
const SHOWN: usize = 20;

/// Boots, shows how far it is, and returns the process's exit status.
pub(super) fn run(mut args: ExploreArgs) -> anyhow::Result<u8> {
    refuse::explore(&args.kernel.0)?;
    if args.kernel.0.scenario.is_some() {
        // The line that repeats a run has none.
        args.kernel.0.seconds = Options::default().seconds;
    }
    let (args, options) = (&args, &args.kernel.0);
    let name = options.scenario.as_ref().map_or("kernel", Scenario::name);
    let elf = kernel(None, args.qemu.as_deref(), options)?;
    let all = args.seeds.clone().flat_map(|seed| args.smp.iter().map(move |&cpus| (seed, cpus)));
    let all: Vec<Run> = all.collect();
    run::catch_ctrl_c()?;
    let start = Instant::now();
    let Some(((seed, cpus), tried)) = try_all(&elf, args, &all) else {
        let (count, seconds) = (all.len(), start.elapsed().as_secs());
        print(format_args!("{name}: {count} runs passed; {seconds} s"))?;
        return Ok(0);
    };
    let report = tried?;
    let outcome = report.outcome;
    if outcome == Outcome::Interrupted {
        eprintln!("interrupted; --seeds {seed}..{} goes on from here", args.seeds.end);
        return Ok(status(&outcome));
    }
    for line in &report.lines[report.lines.len().saturating_sub(SHOWN)..] {
        eprintln!("{line}");
    }
    eprintln!("error: seed {seed} with {cpus} CPUs: {outcome}");
    let quoted = |path: &Path| crate::qemu::quote(&path.to_string_lossy());
    let qemu = args.qemu.as_ref().map_or(String::new(), |path| format!(" --qemu {}", quoted(path)));
    let set = Options::KEYS.iter().filter(|key| key.name != "format" && !key.is_default(options));
    let set = set.map(|key| format!(" --{} {}", key.name, key.value(options)));
    eprintln!(
        "Again: cargo boot elf {} --smp {cpus} --seed {seed}{}{qemu}",
        quoted(&run::whole(&elf)?),
        set.collect::<String>(),
    );
    Ok(status(&outcome))
}

/// Runs all, several at once, until one does not pass.
fn try_all(elf: &Path, args: &ExploreArgs, all: &[Run]) -> Option<Stop> {
    let bar = ProgressBar::new(all.len() as u64);
    let bar = styled(bar, "[{bar:24}] {pos}/{len}, {elapsed}, {eta} to go; {msg}");
    bar.enable_steady_tick(Duration::from_millis(200));
    // What is next, and what ends it all.
    let shared = Mutex::new((all.iter(), Vec::new()));
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || {
        let (next, stops) = &mut *lock();
        next.next().filter(|_| stops.is_empty()).copied()
    };
    let work = || {
        while let Some(run) = next() {
            let tried = try_one(elf, args, run);
            bar.inc(1);
            bar.set_message(format!("seed {}, {} CPUs", run.0, run.1));
            if !tried.as_ref().is_ok_and(|report| report.outcome.passed()) {
                lock().1.push((run, tried));
            }
        }
    };
    let jobs = args.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, all.len()) {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    // Of those that Ctrl-C has ended the first is where to go on.
    let (_, stops) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    stops.into_iter().min_by_key(|(run, tried): &Stop| {
        let is_interrupted = |report: &Report| report.outcome == Outcome::Interrupted;
        (tried.as_ref().is_ok_and(is_interrupted), *run)
    })
}

fn try_one(elf: &Path, args: &ExploreArgs, (seed, cpus): Run) -> anyhow::Result<Report> {
    let options = Options { seed: Some(seed), ..args.kernel.0 };
    let boot = Boot::new(elf).qemu(args.qemu.clone()).smp(cpus).options(&options);
    boot.interrupt(&run::INTERRUPT).run()
}
