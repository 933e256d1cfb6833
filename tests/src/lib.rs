//! The rig of the integration tests.
//!
//! A *scenario* is a module of the test guest, `tests/kernels/src/suite/<scenario>.rs`.
//! `tests/guests.rs` is the table of [`Case`]s: a scenario on one machine each, and what must hold
//! after. A case becomes a named test (`ipi::smp_8`) with libtest's flags: filters, `--exact`,
//! `--list`, `--test-threads`; `--nocapture` also shows passing guests' output and cases' seconds.
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

/// Runs the cases of scenarios as the command line says, and `others` after them: the whole `main`
/// of a test program. Says at the end how long each case took.
///
/// The chosen cases' guests are built before the first one runs; `--list` does not build or boot.
#[must_use]
pub fn main(scenarios: Vec<(&str, Vec<Case>)>, others: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Many guests wait, for a timeout or for a CPU that stays silent, and leave theirs to others.
    let host_cpus = thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(2 * host_cpus);
    let show = arguments.nocapture;
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
        let is_chosen = !is_ignored || arguments.include_ignored || arguments.ignored;
        if !arguments.list && is_chosen && !arguments.is_filtered_out(&trial) {
            // A guest that cannot be built fails the case itself.
            let _ = case.build();
        }
        trial
    });
    let trials = trials.chain(others).collect();
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
