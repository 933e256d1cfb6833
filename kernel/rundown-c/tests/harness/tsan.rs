//! Programs under ThreadSanitizer. Both halves are instrumented: the C one by GCC, the Rust one by a
//! toolchain that can build `core` from source (otherwise its atomics would not be seen, and every
//! use would look like a race).

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Completion, Trial};

use crate::archive;
use crate::compiler::{Compiler, on_path, succeed};
use crate::program::{cases, source};
use crate::toolchain::Toolchain;

/// The sanitizer's exit code when it has something to report.
const REPORTED: i32 = 66;

pub(crate) fn trials() -> Vec<Trial> {
    let stress = cases(&source("stress")).into_iter().map(|case| {
        let name = format!("tsan::silent_about::{case}");
        Trial::ignorable_test(name, move || Ok(is_silent(&case)?))
    });
    let race = cases(&source("race")).into_iter().map(|case| {
        let name = format!("tsan::reports::{case}");
        Trial::ignorable_test(name, move || Ok(reports(&case)?))
    });
    stress.chain(race).collect()
}

/// Programs without a race.
fn is_silent(case: &str) -> Result<Completion> {
    let Some(toolchain) = toolchain() else {
        return Ok(skipped());
    };
    succeed(&mut run(&toolchain, "stress", case)?)?;
    Ok(Completion::Completed)
}

/// The control: a program with a race.
fn reports(case: &str) -> Result<Completion> {
    let Some(toolchain) = toolchain() else {
        return Ok(skipped());
    };
    let mut command = run(&toolchain, "race", case)?;
    let output = command.stdin(Stdio::null()).output()?;
    let report = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(REPORTED)
            && report.contains("ThreadSanitizer: data race")
            && report.contains("use_after_release"),
        "the race was not reported ({})\n{report}",
        output.status
    );
    Ok(Completion::Completed)
}

fn skipped() -> Completion {
    Completion::ignored_with("no toolchain here has the standard library's sources")
}

/// One that can build `core`, instrumented.
fn toolchain() -> Option<Toolchain> {
    Toolchain::all().find(Toolchain::has_sources)
}

/// A command that runs one case of a program.
fn run(toolchain: &Toolchain, name: &str, case: &str) -> Result<Command> {
    let program = build(toolchain, name, case)?;
    // The runtime wants fixed places for its shadow memory, which much randomisation of addresses
    // can take.
    let fixed = || Command::new("setarch").args(["-R", "true"]).output();
    let mut command = if on_path("setarch") && fixed().is_ok_and(|output| output.status.success()) {
        let mut command = Command::new("setarch");
        command.arg("-R").arg(program);
        command
    } else {
        Command::new(program)
    };
    let options = format!("exitcode={REPORTED} halt_on_error=1");
    command.env("TSAN_OPTIONS", options).arg(case);
    Ok(command)
}

fn build(toolchain: &Toolchain, name: &str, case: &str) -> Result<PathBuf> {
    let library = archive::tsan(toolchain)?;
    // One for each case: they are compiled at the same time.
    let program = archive::folder("tsan").join(case);
    let mut command = Compiler::GCC.command();
    command.args(["-D_GNU_SOURCE", "-fsanitize=thread"]);
    command.arg(source(name));
    // What follows is no source.
    command.args(["-x", "none"]).arg(library);
    command.arg("-pthread").arg("-o").arg(&program);
    succeed(&mut command).context("compiling for ThreadSanitizer")?;
    Ok(program)
}
