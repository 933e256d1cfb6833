//! Compiles and runs the C programs of `tests/c`, a named test for each of their cases and each
//! compiler: `contract::gcc_c11::cache_aware_completed_must_follow_wait`.
//!
//! - [`archive`]: the static libraries, built once each, when a test first needs one;
//! - [`compiler`]: the compilers, as C11 and as C++17;
//! - [`toolchain`]: the cargos on this machine;
//! - [`program`]: what a program is made of, and which cases its source has;
//! - [`tsan`]: programs under ThreadSanitizer, and the race that it must find;
//! - [`tags`]: that tags cost nothing where diagnosis is off;
//! - [`freestanding`]: a link without any library;
//! - [`header`]: whether the header is what the sources make.

mod archive;
mod compiler;
mod freestanding;
mod header;
mod program;
mod tags;
mod toolchain;
mod tsan;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use self::compiler::Compiler;
use self::program::Program;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("header::is_what_the_sources_make", || {
        Ok(header_is_fresh()?)
    })];
    trials.extend(
        program::Program::all()
            .into_iter()
            .flat_map(on_each_compiler),
    );
    trials.extend(
        Compiler::all()
            .into_iter()
            .flat_map(compiler::header_trials),
    );
    trials.extend(tags::trials());
    trials.extend(tsan::trials());
    trials.extend(freestanding::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn header_is_fresh() -> anyhow::Result<()> {
    let checked_in = std::fs::read_to_string(header::path())?;
    anyhow::ensure!(
        checked_in == header::make()?,
        "include/rundown.h is stale. What to do:\n  \
         cargo run --package rundown-c --example header"
    );
    Ok(())
}

/// A program's cases, once for each compiler.
fn on_each_compiler(program: &'static Program) -> Vec<Trial> {
    let compilers = Compiler::all().into_iter();
    compilers
        .flat_map(|compiler| program.trials(compiler))
        .collect()
}
