//! Programs under ThreadSanitizer. Both halves are instrumented: the C one by GCC, the Rust one by a
//! toolchain that can build `core` from source (otherwise its atomics would not be seen, and every
//! use would look like a race).

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Completion, Trial};

use crate::archive;
use crate::compiler::{Compiler, on_path, succeed};
use crate::program::{VARIANTS, cases, source};
use crate::toolchain::Toolchain;

/// The sanitizer's exit code when it has something to report.
const REPORTED: i32 = 66;

pub(crate) fn trials() -> Vec<Trial> {
    let all = [("silent_about", "stress"), ("reports", "race")];
    let each = all
        .into_iter()
        .flat_map(|all| VARIANTS.map(|variant| (all, variant)));
    each.flat_map(|((verdict, program), (variant, flag))| {
        cases(&source(program)).into_iter().map(move |case| {
            let name = format!("tsan::{verdict}::{variant}::{case}");
            Trial::ignorable_test(name, move || {
                // One that can build `core`, instrumented.
                let Some(toolchain) = Toolchain::all().find(Toolchain::has_sources) else {
                    let reason = "no toolchain here has the standard library's sources";
                    return Ok(Completion::ignored_with(reason));
                };
                let mut command = run(&toolchain, program, (variant, flag), &case)?;
                match program {
                    "race" => reports(&mut command)?,
                    _ => drop(succeed(&mut command)?),
                }
                Ok(Completion::Completed)
            })
        })
    })
    .collect()
}

/// The control: a program with a race.
fn reports(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let report = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(REPORTED)
            && report.contains("ThreadSanitizer: data race")
            && report.contains("use_after_release"),
        "the race was not reported ({})\n{report}",
        output.status
    );
    Ok(())
}

/// A command that runs one case of a program.
fn run(
    toolchain: &Toolchain,
    name: &str,
    (variant, flag): (&str, &str),
    case: &str,
) -> Result<Command> {
    let library = archive::tsan(toolchain)?;
    // One for each: they are compiled at the same time.
    let program = archive::folder("tsan").join(format!("{variant}_{case}"));
    let mut compile = Compiler::GCC.command();
    compile.args(["-D_GNU_SOURCE", "-fsanitize=thread", flag]);
    compile.arg(source(name));
    // What follows is no source.
    compile.args(["-x", "none"]).arg(library);
    compile.arg("-pthread").arg("-o").arg(&program);
    succeed(&mut compile).context("compiling for ThreadSanitizer")?;
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
