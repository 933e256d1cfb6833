//! `cargo bench --package bench`: the cost of using an object, and of its teardown.
//! How it is measured: `src/lib.rs`.

mod c_peers;
mod contenders;
mod guarded;
mod limits;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use bench::{Bench, Group, HostMachine, LOCKED, Table, UNLOCKED, WINDOWS, picture, progress};
use clap::{Parser, ValueEnum};
use rundown::HostPlatform;
use serde_json::json;

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
    /// Also writes the pictures into docs/, and the table of many objects into the README of
    /// `rundown`.
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
    /// Uses of many objects, picked at random; of one whose value users write; and making objects.
    Objects,
    /// Closing and draining one object.
    Teardowns,
    /// Closing and draining many.
    Batches,
}

/// The tables of a run, by the names that they have in the JSON file.
type Tables = Vec<(&'static str, Table)>;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let bench = Bench::new(options.rounds.into(), options.millis)?;
    let tables = measure(&options, &bench)?;
    progress("");
    let (mut machine, disturbed) = (HostMachine::here(), bench.disturbed_percent());
    let Options { rounds, millis, .. } = options;
    machine.software += &format!("; medians of {rounds} rounds, {disturbed:.0}% disturbed");
    println!("{}; {}", machine.hardware, machine.software);
    println!("{millis} ms each; ±: half the distance of the quartiles");
    tables.iter().for_each(|(_, table)| print!("{table}"));
    if disturbed > 10.0 {
        eprintln!(
            "warning: this machine has other work: figures of several threads are unreliable"
        );
    }
    let report = json!({
        "machine": machine,
        "rounds": rounds,
        "millis": millis,
        "disturbed_percent": disturbed,
        "tables": tables.iter().map(|(name, table)| (name, table)).collect::<BTreeMap<_, _>>(),
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(&folder, "pairs.json", &format!("{report:#}\n"))?;
    draw(&tables, &machine, &folder)?;
    if options.docs {
        draw(&tables, &machine, &root.join("docs"))?;
        let (folder, name) = (root.join("kernel/rundown"), "README.md");
        let text = fs::read_to_string(folder.join(name))?;
        let objects = table(&tables, "objects").context("all parts were measured")?;
        let text = bench::with_objects(&text, objects, &machine);
        write(&folder, name, &text.context("it has no place for the table of many objects")?)?;
    }
    Ok(())
}

fn table<'a>(tables: &'a Tables, wanted: &str) -> Option<&'a Table> {
    tables.iter().find(|(name, _)| *name == wanted).map(|(_, table)| table)
}

fn measure(options: &Options, bench: &Bench) -> anyhow::Result<Tables> {
    let mut tables = Tables::new();
    let wanted = |part| options.part.is_empty() || options.part.contains(&part);
    if wanted(Part::Pairs) {
        let mut contenders = contenders::pairs();
        if let Some(part) = &options.filter {
            let named = |name: &str| name.contains(part);
            let found = contenders.iter().any(|one| named(one.name));
            ensure!(found, "no contender has such a name");
            // The yardsticks are always measured.
            let yardsticks = [LOCKED, UNLOCKED, WINDOWS];
            contenders.retain(|one| named(one.name) || yardsticks.contains(&one.name));
        }
        let mut pairs = bench::pairs(bench, "acquire + release", &contenders);
        let per_cpu = HostPlatform::per_cpu().err();
        let per_cpu = per_cpu.map(|reason| (contenders::PER_CPU, reason.to_string()));
        for (name, reason) in c_peers::missing().into_iter().chain(per_cpu) {
            pairs.add(Group::Peer, &format!("{name}: {reason}"));
        }
        pairs.sort();
        tables.push(("pairs", pairs));
    }
    if wanted(Part::Work) {
        let title = "acquire, 25 ns of work, release (the work is in the figures)";
        tables.push(("work", bench::pairs(bench, title, &contenders::work())));
    }
    if wanted(Part::Objects) {
        tables.push(("objects", bench::objects(bench, &contenders::crowds())));
        let title = "one CPU takes protection, the others also write the value";
        tables.push(("written", bench::pairs(bench, title, &contenders::written())));
        if HostPlatform::per_cpu().is_ok() {
            tables.push(("creation", bench::creation(bench)));
        }
    }
    let mut kinds = contenders::kinds();
    if wanted(Part::Teardowns) {
        tables.push(("teardowns", bench::teardowns(bench, &kinds, false)));
    }
    // The bare pass over slots: nothing uses them, and there is one object of it.
    kinds.retain(|kind| kind.group != Group::Limit);
    if wanted(Part::Teardowns) && bench.workers.count() > 1 {
        tables.push(("loaded_teardowns", bench::teardowns(bench, &kinds, true)));
    }
    if wanted(Part::Batches) {
        tables.push(("batches", bench::batches(bench, &kinds)));
    }
    Ok(tables)
}

/// The pictures of what was measured.
fn draw(tables: &Tables, machine: &HostMachine, folder: &Path) -> anyhow::Result<()> {
    if let Some(pairs) = table(tables, "pairs") {
        write(folder, "pairs.svg", &picture::of_pairs(pairs, machine))?;
    }
    if let Some(idle) = table(tables, "teardowns") {
        let picture = picture::of_teardowns(idle, table(tables, "loaded_teardowns"), machine);
        write(folder, "teardowns.svg", &picture)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
