//! Breaks `rundown` and the kernel on purpose, one patch at a time, and shows that a test notices.
//!
//! The patches are in `list/`: each says what it breaks and which test must notice (its killer). A
//! run first shows that every killer passes on the sources as they are, then that each one fails on
//! its mutant. It works on copies in the target folder and never touches the sources.
//!
//! Some break the kernel: the parts that the per-CPU variant needs, and the bring-up of CPUs. Their
//! killers are guests (which needs QEMU and a toolchain for guests, `cargo boot doctor`), or tests
//! of its other packages. A guest is booted with one seed after the other, up to 16, so that the
//! same instructions run each time: no verdict depends on how busy the host is. By hand:
//! `TESTS_SEED=6 cargo test --package tests --test guests -- --exact barrier::smp_2`.
//!
//! `cargo run -p mutants -- --help` lists the options. Ends with 0 if all of them were killed.

mod list;
mod run;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, process, thread};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::list::Mutant;

/// Breaks `rundown` and the kernel on purpose, one patch at a time, and shows that a test notices.
#[derive(Debug, Parser)]
struct Options {
    /// Check that the list fits the sources and the table in docs/mutants.md the list; run nothing
    #[arg(long, group = "instead")]
    check: bool,
    /// Renew the table in docs/mutants.md; run nothing
    #[arg(long, group = "instead", conflicts_with_all = ["only", "part", "changed"])]
    table: bool,
    /// Only the mutant of this name or, if there is none, those whose names contain it (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only part K of N; `today/N` is another one every day
    #[arg(long, value_name = "K/N", value_parser = part)]
    part: Option<(usize, usize)>,
    /// Only those whose file or killer differs from this commit's; with `--part`, these besides the
    /// part
    #[arg(long, value_name = "COMMIT")]
    changed: Option<String>,
    /// How many copies of the workspace work in parallel [default: 2, or the number of CPUs]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

fn main() {
    if let Err(error) = act(&Options::parse()) {
        eprintln!("error: {error:#}");
        process::exit(1);
    }
}

fn act(options: &Options) -> Result<()> {
    let mutants = list::load(&package())?;
    let page = root().join("docs/mutants.md");
    let (old, new) = list::page(&page, &mutants)?;
    if options.table {
        return Ok(fs::write(page, &new)?);
    }
    let changed = options.changed.as_deref().map(changed_since).transpose()?;
    let chosen = choose(&mutants, options, changed.as_ref());
    ensure!(!chosen.is_empty() || options.only.is_empty(), "no mutant has such a name");
    // All of the list, and before time is spent on a part of it.
    let complaints = list::complaints(&mutants, &root());
    ensure!(complaints.is_empty(), "{complaints}");
    if options.check {
        ensure!(old == new, "the table in docs/mutants.md is stale: `--table` renews it");
        println!("all {} mutants apply; the table is current", mutants.len());
        return Ok(());
    }
    run(&chosen, options.jobs)
}

/// The mutants that the options ask for; `changed`: the files that are.
fn choose<'a>(
    mutants: &'a [Mutant],
    options: &Options,
    changed: Option<&BTreeSet<PathBuf>>,
) -> Vec<&'a Mutant> {
    let Options { only, part, .. } = options;
    let is_name = |text: &String| mutants.iter().any(|mutant| mutant.name == *text);
    let is_named = |Mutant { name, .. }: &Mutant| {
        let fits = |text: &String| name == text || !is_name(text) && name.contains(text);
        only.is_empty() || only.iter().any(fits)
    };
    let differs = |mutant: &Mutant| {
        let (file, killer) = (mutant.file(Path::new("")), &mutant.killed_by);
        // A unit test's source is any of the crate's.
        let tests = |path: &Path| killer.binary.is_some() && path.starts_with(&killer.source);
        let mut files = changed.into_iter().flatten();
        files.any(|path| *path == file || tests(&path.with_extension("")))
    };
    let is_in_part = |index: usize| part.map_or(changed.is_none(), |(k, n)| index % n == k - 1);
    // Every n-th of those named, so that each part has a little of everything.
    let named = mutants.iter().filter(|mutant| is_named(mutant)).enumerate();
    let chosen = named.filter(|(index, mutant)| is_in_part(*index) || differs(mutant));
    chosen.map(|(_, mutant)| mutant).collect()
}

/// `k/n`, or `today/n`.
fn part(text: &str) -> Result<(usize, usize)> {
    const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
    let (k, n) = text.split_once('/').context("a part is `k/n`")?;
    let n: usize = n.parse()?;
    ensure!(n > 0, "a list has at least one part");
    let day = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / SECONDS_PER_DAY;
    let k = if k == "today" { usize::try_from(day)? % n + 1 } else { k.parse()? };
    ensure!((1..=n).contains(&k), "`k` in `k/n` is between 1 and n");
    Ok((k, n))
}

/// The files of the working tree that differ from a commit's.
fn changed_since(commit: &str) -> Result<BTreeSet<PathBuf>> {
    let files = tree::git(&root(), &["diff", "--name-only", "--no-relative", commit, "--"])?;
    Ok(files.lines().map(PathBuf::from).collect())
}

fn run(mutants: &[&Mutant], jobs: Option<usize>) -> Result<()> {
    let started = Instant::now();
    let root = root();
    let work = match env::var_os("CARGO_TARGET_DIR") {
        // A relative one is relative to where cargo was started, as this program was.
        Some(outer) => env::current_dir()?.join(outer).join("mutants"),
        None => root.join("target/mutants"),
    };
    fs::create_dir_all(&work)?;
    // One run at a time works in this folder. The lock ends with the file.
    let lock = fs::File::create(work.join("lock"))?;
    lock.try_lock().with_context(|| format!("another run is at work in {}", work.display()))?;
    // More copies do not make up for the dependencies, which each builds itself.
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.unwrap_or(cpus.min(2)).min(mutants.len());
    let verdicts = run::run(&root, &work, mutants, jobs)?;
    let killed = verdicts.iter().filter(|verdict| matches!(verdict, Ok(Some(_)))).count();
    let all = mutants.len();
    let (seconds, work) = (started.elapsed().as_secs(), work.display());
    println!("{killed} of {all} mutants killed in {seconds} s; logs in {work}/log");
    ensure!(killed == all, "not all of them were killed");
    Ok(())
}

/// This package's folder, by cargo now, not at build time: checkouts may share a target folder.
fn package() -> PathBuf {
    let now = env::var_os("CARGO_MANIFEST_DIR");
    PathBuf::from(now.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()))
}

/// The workspace that it belongs to: it is in kernel/tools/mutants.
fn root() -> PathBuf {
    package().join("../../..").canonicalize().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_fits_the_sources_and_the_table_the_list() {
        act(&Options::parse_from(["mutants", "--check"])).expect("`--table` renews the table");
    }

    #[test]
    fn options_choose() {
        let list = ["one", "one-more", "two"].map(|name| {
            format!(
                "[S1.{name}]\nfile = \"src/{name}.rs\"\nfind = \"1\"\nwrong = \"\"\nkilled_by = \"host {name} t\"\n"
            )
        });
        let mutants = list::parse(&list.concat()).expect("a list");
        let files = ["kernel/rundown/src/one.rs", "kernel/rundown/tests/two/main.rs"];
        let files = BTreeSet::from(files.map(PathBuf::from));
        for (line, expected) in [
            ("", "one one-more two"),
            ("--only one", "one"),
            ("--only more --only tw", "one-more two"),
            ("--only o --part 2/3", "one-more"),
            ("--only three", ""),
            ("--part today/1", "one one-more two"),
            ("--part yesterday/2", "-"),
            ("--part 3/2", "-"),
            ("--part 1/0", "-"),
            ("--changed main", "one two"),
            ("--changed main --part 2/3", "one one-more two"),
        ] {
            let words = ["mutants"].into_iter().chain(line.split_whitespace());
            let Ok(options) = Options::try_parse_from(words) else {
                assert_eq!(expected, "-", "{line}");
                continue;
            };
            let changed = options.changed.as_ref().map(|_| &files);
            let chosen = choose(&mutants, &options, changed).into_iter();
            let names: Vec<&str> = chosen.map(|mutant| &*mutant.name).collect();
            assert_eq!(names.join(" "), expected, "{line}");
        }
    }
}
