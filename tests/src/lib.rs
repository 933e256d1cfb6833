//! The rig of the integration tests.
//!
//! A *scenario* is one file `tests/<scenario>.rs` and one guest `tests/kernels/src/bin/<scenario>.rs`.
//! The file lists its [`Case`]s: the guest on one machine each, and what must hold afterwards. A case
//! becomes a named test (`ipi::smp_8`) with libtest's flags: filters, `--exact`, `--list`,
//! `--test-threads`; `--nocapture` shows the serial output of passing guests, too.
//!
//! - [`case`]: boots a case and hands the report to its check;
//! - [`judge`]: says what is wrong with a report, if anything is;
//! - [`cpus`]: what the kernel says of its CPUs;
//! - [`shape`]: which CPUs an `-smp` value stands for, computed without the kernel;
//! - [`model`]: what of that a CPU model tells;
//! - [`machines`]: a list of machines of many shapes and models;
//! - [`screen`]: what is on a screen;
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

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

pub use case::Case;

/// Runs a scenario's cases as the command line says: the whole `main` of a test file.
///
/// Guests are built when the first case is run, so `--list` neither builds nor boots.
#[must_use]
pub fn main(scenario: &str, cases: Vec<Case>) -> ExitCode {
    let arguments = Arguments::from_args();
    let show = arguments.nocapture;
    let trials = cases
        .into_iter()
        .map(|case| {
            let name = format!("{scenario}::{}", case.name());
            let again = format!("cargo test --package tests --test {scenario} -- --exact {name}");
            let (skipped, rare) = (case.skipped(), case.is_rare());
            Trial::test(name, move || Ok(case.run(&again, show)?))
                .with_kind(skipped.unwrap_or_default())
                .with_ignored_flag(skipped.is_some() || rare)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The example in the README of the repository is compiled and run, like any other.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
