//! Breaks the crate `rundown` and the kernel on purpose, one small patch at a time, and shows that a named
//! test notices.
//!
//! The patches are in `list/`: each says what it breaks and which test must notice (its killer). A
//! run first shows that every killer passes on the crate as it is, then that each one fails on its
//! mutant. It works on copies in the target folder and never touches the sources.
//!
//! Some break the kernel: what the per-CPU kind needs of one, and how it brings up its CPUs. Their killers are
//! guests, or tests of its other packages. Those are built in a copy of the whole workspace, and guests are
//! booted, which takes half of the time and needs QEMU and a toolchain for guests (`cargo boot doctor`).
//!
//! ```text
//! cargo run -p mutants                        all of them: some 10 min on two CPUs
//! cargo run -p mutants -- --only central      those whose names contain this
//! cargo run -p mutants -- --part today/7      a seventh, another one every day
//! cargo run -p mutants -- --check             only: does the list still fit the sources?
//! cargo run -p mutants -- --table             renews the table in docs/mutants.md
//! ```
//!
//! Ends with 0 if all is well, with 1 if a mutant survived, and with 2 if the list, a killer or a
//! build is at fault.

mod killer;
mod list;
mod part;
mod patch;
mod place;
mod progress;
mod scratch;
mod session;
mod table;
mod verdict;

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Parser;

use crate::list::Mutant;
use crate::part::Part;
use crate::place::Place;
use crate::verdict::Verdict;

const ALL_KILLED: u8 = 0;
const SURVIVORS: u8 = 1;
const AT_FAULT: u8 = 2;

/// Copies at work at once, unless the caller says otherwise: each builds its dependencies itself,
/// which more copies do not make up for.
const MOST_JOBS: usize = 2;

/// Breaks `rundown` on purpose, one small patch at a time, and shows that a named test notices.
#[derive(Debug, Parser)]
struct Options {
    /// Print the list, run nothing
    #[arg(long, group = "instead")]
    list: bool,
    /// Check that the list fits the sources and the table in docs/mutants.md the list; run nothing
    #[arg(long, group = "instead")]
    check: bool,
    /// Renew the table in docs/mutants.md; run nothing
    #[arg(long, group = "instead", conflicts_with_all = ["only", "part"])]
    table: bool,
    /// Only the mutant of this name or, if there is none, those whose names contain it (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only part K of N; `today/N` is another one every day
    #[arg(long, value_name = "K/N")]
    part: Option<Part>,
    /// How many copies of the crate are at work at once [default: 2, or the number of CPUs]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    let code = act(&Options::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        AT_FAULT
    });
    ExitCode::from(code)
}

fn act(options: &Options) -> Result<u8> {
    let place = Place::here();
    let mutants = list::read(&place::list_files()?)?;
    let page = place.mutants_page();
    if options.table {
        let changed = table::write(&page, &mutants)?;
        println!("{}", if changed { "renewed" } else { "was current" });
        return Ok(ALL_KILLED);
    }
    let chosen = choose(&mutants, &options.only, options.part)?;
    if options.list {
        for mutant in &chosen {
            println!("{:4} {}: {}", mutant.promise, mutant.name, mutant.wrong);
            println!("     {}; {}", mutant.file, mutant.killed_by);
        }
        println!("{} of {} mutants", chosen.len(), mutants.len());
        return Ok(ALL_KILLED);
    }
    // All of the list, and before time is spent on a part of it.
    let complaints = list::complaints(&mutants, &place);
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    if options.check {
        ensure!(
            table::is_current(&page, &mutants)?,
            "the table in docs/mutants.md is stale: `--table` renews it"
        );
        println!("all {} mutants apply; the table is current", mutants.len());
        return Ok(ALL_KILLED);
    }
    run(&place, &chosen, options.jobs)
}

fn choose<'a>(
    mutants: &'a [Mutant],
    only: &[String],
    part: Option<Part>,
) -> Result<Vec<&'a Mutant>> {
    let mut chosen: Vec<&Mutant> = mutants.iter().collect();
    if !only.is_empty() {
        let is = |text: &str| mutants.iter().any(|mutant| mutant.name == text);
        chosen.retain(|mutant| {
            only.iter().any(|text| match is(text) {
                true => mutant.name == *text,
                false => mutant.name.contains(text),
            })
        });
        if chosen.is_empty() {
            bail!("no mutant's name contains {}", only.join(" or "));
        }
    }
    Ok(match part {
        Some(part) => part.of(chosen),
        None => chosen,
    })
}

fn run(place: &Place, mutants: &[&Mutant], jobs: Option<usize>) -> Result<u8> {
    let started = Instant::now();
    let _lock = session::lock(place)?;
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.unwrap_or(cpus.min(MOST_JOBS)).min(mutants.len());
    let judged = session::run(place, mutants, jobs, session::SLACK)?;
    for line in verdict::table(&judged) {
        println!("{line}");
    }
    let count = |what: fn(&Verdict) -> bool| judged.iter().filter(|one| what(&one.verdict)).count();
    let killed = count(Verdict::is_kill);
    let survived = count(|verdict| matches!(verdict, Verdict::Survived));
    let mistakes = judged.len() - killed - survived;
    println!(
        "{} mutants in {} s: {killed} killed, {survived} survived, {mistakes} errors; logs in {}",
        judged.len(),
        started.elapsed().as_secs(),
        place.logs().display()
    );
    Ok(match (survived, mistakes) {
        (0, 0) => ALL_KILLED,
        (_, 0) => SURVIVORS,
        _ => AT_FAULT,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn names_choose() {
        let mutants = ["one", "one-more", "two"].map(|name| {
            format!(
                "[[mutant]]\nname = \"{name}\"\nfile = \"f\"\nfind = \"1\"\nreplace = \"2\"\n\
                 wrong = \"It is.\"\npromise = \"S1\"\nkilled_by = {{ kind = \"unit\", test = \"t\" }}\n"
            )
        });
        let mutants = list::parse(&mutants.concat()).expect("a list");
        let names = |only: &[&str], part: Option<&str>| -> Vec<String> {
            let only: Vec<String> = only.iter().map(ToString::to_string).collect();
            let part = part.map(|part| part.parse().expect("a part"));
            let chosen = choose(&mutants, &only, part).unwrap_or_default();
            chosen.iter().map(|mutant| mutant.name.clone()).collect()
        };
        assert_eq!(names(&[], None), ["one", "one-more", "two"]);
        assert_eq!(names(&["one"], None), ["one"]);
        assert_eq!(names(&["o"], None), ["one", "one-more", "two"]);
        assert_eq!(names(&["more", "tw"], None), ["one-more", "two"]);
        assert_eq!(names(&["o"], Some("2/3")), ["one-more"]);
        assert!(names(&["three"], None).is_empty());
    }
}
