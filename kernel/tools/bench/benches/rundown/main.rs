//! `cargo bench --package bench`: what a use of an object costs, and what its teardown costs.
//! How it is measured: `src/lib.rs`.

mod c_peers;
mod diagnosed;
mod limits;
mod many;
mod ours;
mod peers;
mod shapes;
mod work;

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, ensure};
use bench::batch::batches;
use bench::objects::objects;
use bench::report::{self, Pair, Report};
use bench::teardown::teardowns;
use bench::{Contender, Effort, Machine, Workers, names};
use clap::{Parser, ValueEnum};
use many::Writers;

/// Measures rundown protection and its peers in one run.
#[derive(Parser)]
#[command(bin_name = "cargo bench --package bench --")]
struct Options {
    /// Only contenders whose name contains this (and those that others are compared with).
    filter: Option<String>,
    /// Only this part; may be given several times.
    #[arg(long)]
    part: Vec<Part>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 41, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long each contender runs in a round, with each number of threads, in milliseconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,
    /// Also writes the JSON file and the pictures into docs/, and the table of many objects into the
    /// README of `rundown`.
    #[arg(long, conflicts_with_all = ["filter", "part"])]
    docs: bool,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    /// Acquire and release.
    Pairs,
    /// The same with 25 ns of work in between.
    Work,
    /// Uses of many objects, picked at random; and of one whose value users write.
    Objects,
    /// Making objects.
    Creation,
    /// Closing and draining one object.
    Teardowns,
    /// Closing and draining many.
    Batches,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let report = measure(&options)?;
    print!("{}", report::table(&report));
    if report.disturbed_percent > 10.0 {
        eprintln!(
            "warning: this machine has other work: the figures of several threads are unreliable"
        );
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.ancestors().nth(3).context("no workspace above")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    save(&report, &target.join("bench"))?;
    if options.docs {
        save(&report, &root.join("docs"))?;
        let readme = root.join("kernel/rundown/README.md");
        let text = fs::read_to_string(&readme)
            .with_context(|| format!("cannot read {}", readme.display()))?;
        write(&readme, &report::with_objects(&text, &report)?)?;
    }
    Ok(())
}

fn measure(options: &Options) -> anyhow::Result<Report> {
    let workers = Workers::start().context("no thread can be pinned")?;
    let effort = Effort {
        rounds: options.rounds.into(),
        millis: options.millis,
    };
    let wanted = |part| options.part.is_empty() || options.part.contains(&part);
    let mut report = Report::new(Machine::here(), effort);
    let lines = |title: &str, contenders: &[Contender]| {
        let measured = bench::pairs(&workers, contenders, effort, |round| {
            progress(&format!(
                "{title}, round {} of {}",
                round + 1,
                effort.rounds
            ));
        });
        let lines = Pair::lines(&workers, contenders, &measured.ns);
        (lines, measured.disturbed_percent)
    };
    let mut disturbed = [0.0; 4];
    if wanted(Part::Pairs) {
        let contenders = chosen(options.filter.as_deref());
        ensure!(!contenders.is_empty(), "no contender has such a name");
        (report.pairs, disturbed[0]) = lines("pairs", &contenders);
        report.missing = c_peers::missing();
        report.missing.extend(ours::missing());
    }
    if wanted(Part::Work) {
        (report.work, disturbed[1]) = lines("work", &work::contenders());
    }
    if wanted(Part::Objects) {
        let crowds = many::crowds();
        report.objects = objects(&workers, &crowds, effort, |round, rounds| {
            progress(&format!("objects, round {} of {rounds}", round + 1));
        });
        let (all, others) = (Writers::All, Writers::Others);
        (report.written, disturbed[2]) = lines("written", &many::written(all));
        (report.beside_writers, disturbed[3]) = lines("beside writers", &many::written(others));
    }
    if wanted(Part::Creation) {
        progress("creation");
        report.creations = ours::created(&workers, effort);
    }
    if wanted(Part::Teardowns) {
        progress("teardowns");
        report.teardowns = teardowns(&workers, &ours::kinds(), effort);
    }
    if wanted(Part::Batches) {
        progress("batches");
        report.batches = batches(&workers, &ours::kinds(), effort);
    }
    report.disturbed_percent = disturbed.into_iter().fold(0.0, f64::max);
    report.break_even = report::break_even(&report);
    report.criteria = report::criteria(&report);
    progress("");
    Ok(report)
}

/// What others are compared with is always measured.
const YARDSTICKS: [&str; 3] = [names::LOCKED, names::UNLOCKED, names::WINDOWS];

/// Every contender there is; or some, and the yardsticks.
fn chosen(filter: Option<&str>) -> Vec<Contender> {
    let all = [
        ours::contenders(),
        diagnosed::contenders(),
        peers::contenders(),
        c_peers::contenders(),
        shapes::contenders(),
        limits::contenders(),
    ];
    let named = |contender: &Contender| match filter {
        None => true,
        Some(part) => contender.name.contains(part) || YARDSTICKS.contains(&contender.name),
    };
    all.into_iter().flatten().filter(named).collect()
}

/// One line that the next overwrites, for people.
fn progress(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}

/// Writes pairs.json and the pictures of what was measured.
fn save(report: &Report, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let json = serde_json::to_string_pretty(report)? + "\n";
    let mut files = vec![("pairs.json", json)];
    if !report.pairs.is_empty() {
        files.push(("pairs.svg", report::svg(report)?));
    }
    if !report.teardowns.is_empty() {
        files.push(("teardowns.svg", report::teardown_svg(report)?));
    }
    for (name, text) in files {
        write(&folder.join(name), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
