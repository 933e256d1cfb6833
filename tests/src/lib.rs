//! The rig of the integration tests.
//!
//! A *scenario* is a module of the test guest, `tests/kernels/src/suite/<scenario>.rs`.
//! `tests/guests.rs` is the table of [`Case`]s: a scenario on one machine each, and what must hold
//! after. A case becomes a named test (`ipi::smp_8`) with libtest's flags: filters, `--exact`,
//! `--skip`, `--list`, `--test-threads`; `--nocapture` also shows passing guests' output. Flags of
//! libtest's that `--help` does not list, such as `--shuffle`, are refused.
//!
//! - [`case`]: boots a case and hands the report to its check;
//! - [`judge`]: says what is wrong with a report, if anything is;
//! - [`cpus`]: what the kernel says of its CPUs;
//! - [`shape`]: which CPUs an `-smp` value stands for, computed without the kernel;
//! - [`model`]: the part of that shape that a CPU model reports;
//! - [`machines`]: a list of machines of many shapes and models;
//! - [`screen`]: the text on a screen;
//! - [`failure`]: what a person sees of a case that failed.
#![forbid(unsafe_code)]

pub mod case;
pub mod cpus;
pub mod failure;
mod guests;
pub mod judge;
pub mod machines;
pub mod model;
pub mod screen;
pub mod shape;

use std::cmp::Reverse;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use clap::Parser;
use libtest_mimic::{Arguments, Trial};

pub use case::Case;

/// The fields of all events of one sort: `events!(report, Event::Missing { apic_id } => *apic_id)`.
#[macro_export]
macro_rules! events {
    ($report:expr, $event:pat => $what:expr) => {
        $report.events.iter().filter_map(|event| match event {
            $event => Some($what),
            _ => None,
        })
    };
}

/// The command line: as libtest has it, with any number of filters.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
    /// Further filters: a test whose name contains any of them is run, too.
    #[arg(value_name = "FILTER")]
    more: Vec<String>,
}

impl Line {
    /// As [`libtest_mimic`], which takes one filter, understands it.
    fn for_one_filter(self, trials: &[Trial]) -> Arguments {
        let Self { arguments, more } = self;
        if more.is_empty() {
            return arguments;
        }
        let filters = arguments.filter.iter().chain(&more);
        let each = filters.map(|filter| {
            let filter = Some(filter.clone());
            Arguments { filter, ..arguments.clone() }
        });
        let each: Vec<Arguments> = each.collect();
        let others = trials.iter().filter(|trial| each.iter().all(|it| it.is_filtered_out(trial)));
        let skip = others.map(|trial| trial.name().to_owned()).collect();
        Arguments { filter: None, exact: true, skip, ..arguments }
    }
}

/// Runs the cases of scenarios as the command line says, and `others` after them: the whole `main`
/// of a test program. Says at the end how long each case took.
///
/// The chosen cases' guests are built before the first one runs; `--list` does not build or boot.
#[must_use]
pub fn main(scenarios: Vec<(&str, Vec<Case>)>, others: Vec<Trial>) -> ExitCode {
    let mut line = Line::parse();
    // Many guests wait, for a timeout or for a CPU that stays silent, and leave theirs to others.
    let host_cpus = thread::available_parallelism().map_or(1, usize::from);
    line.arguments.test_threads.get_or_insert(2 * host_cpus);
    let show = line.arguments.nocapture;
    let times = Arc::new(Mutex::new(Vec::new()));
    let named = scenarios.into_iter().flat_map(|(scenario, cases)| {
        let name = move |case: Case| (format!("{scenario}::{}", case.name()), case);
        cases.into_iter().map(name)
    });
    let trials = named.map(|(name, case)| {
        let again = format!("cargo test --package tests --test guests -- --exact {name}");
        let (skipped, case) = (case.boot.lacks(), Arc::new(case));
        let is_ignored = skipped.is_some() || case.rare;
        let trial = Trial::test(name.clone(), {
            let (case, times) = (Arc::clone(&case), Arc::clone(&times));
            move || {
                let start = Instant::now();
                let done = case.run(&again, show);
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                times.push((start.elapsed(), name));
                Ok(done?)
            }
        });
        let trial = trial.with_kind(skipped.unwrap_or_default()).with_ignored_flag(is_ignored);
        (trial, case)
    });
    let (mut trials, cases): (Vec<Trial>, Vec<Arc<Case>>) = trials.unzip();
    trials.extend(others);
    let arguments = line.for_one_filter(&trials);
    for (trial, case) in trials.iter().zip(cases).filter(|_| !arguments.list) {
        let may_run = !trial.has_ignored_flag() || arguments.include_ignored || arguments.ignored;
        if may_run && !arguments.is_filtered_out(trial) {
            // A guest that cannot be built fails the case itself.
            let _ = case.build();
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable_by_key(|(time, _)| Reverse(*time));
    if arguments.format.is_none() && !arguments.quiet {
        for (time, name) in times.iter() {
            println!("{:>7.1} s  {name}", time.as_secs_f32());
        }
    }
    conclusion.exit_code()
}

/// The example in the README of the repository is compiled and run, like any other.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use clap::Parser;
    use libtest_mimic::Trial;

    use super::Line;

    #[test]
    fn any_of_several_filters_chooses() {
        let trials = ["storm::smp_2", "storm::smp_22", "ipi::smp_2", "nmi::smp_1"].map(|name| {
            let trial = Trial::test(name, || Ok(()));
            trial.with_ignored_flag(name.starts_with("nmi"))
        });
        for (line, chosen) in [
            ("", "storm::smp_2 storm::smp_22 ipi::smp_2 nmi::smp_1"),
            ("smp_2", "storm::smp_2 storm::smp_22 ipi::smp_2"),
            ("ipi nmi::", "ipi::smp_2 nmi::smp_1"),
            ("ipi none storm --skip smp_22 ipi", "storm::smp_2 ipi::smp_2"),
            ("--exact storm::smp_2", "storm::smp_2"),
            ("--exact storm::smp_2 nmi::smp_1 ipi", "storm::smp_2 nmi::smp_1"),
            ("storm nmi --ignored", "nmi::smp_1"),
        ] {
            let words = ["guests"].into_iter().chain(line.split_whitespace());
            let arguments = Line::parse_from(words).for_one_filter(&trials);
            let names = trials.iter().filter(|trial| !arguments.is_filtered_out(trial));
            let names: Vec<&str> = names.map(Trial::name).collect();
            assert_eq!(names.join(" "), chosen, "{line}");
        }
    }
}
