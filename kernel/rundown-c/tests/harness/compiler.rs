//! The compilers: GCC and Clang, as C11 and as C++17.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Completion, Trial};

/// Warnings are errors, on the user's side of the header as well.
const WARNINGS: [&str; 3] = ["-Wall", "-Wextra", "-Werror"];

/// A compiler and a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Compiler {
    /// As it is in the names of tests.
    pub(crate) name: &'static str,
    program: &'static str,
    language: &'static [&'static str],
}

impl Compiler {
    pub(crate) const GCC: Self = Self {
        name: "gcc_c11",
        program: "gcc",
        language: &["-std=c11", "-x", "c"],
    };

    pub(crate) const fn all() -> [Self; 4] {
        const CPP: &[&str] = &["-std=c++17", "-x", "c++"];
        [
            Self::GCC,
            Self {
                name: "gcc_cpp17",
                program: "g++",
                language: CPP,
            },
            Self {
                name: "clang_c11",
                program: "clang",
                language: Self::GCC.language,
            },
            Self {
                name: "clang_cpp17",
                program: "clang++",
                language: CPP,
            },
        ]
    }

    /// Why this compiler cannot be used here, if it cannot. GCC has to be there: cargo links with
    /// it.
    pub(crate) fn missing(self) -> Option<String> {
        let found = on_path(self.program);
        (self != Self::GCC && !found).then(|| format!("{} is not installed", self.program))
    }

    /// A command that compiles, warnings being errors, and finds the headers. Sources come next.
    pub(crate) fn command(self) -> Command {
        let mut command = Command::new(self.program);
        command.args(self.language).args(WARNINGS);
        command.args(["-O2", "-g"]);
        for folder in ["include", "include/windows", "tests/c"] {
            command.arg("-I").arg(package().join(folder));
        }
        command
    }

    /// A command that links what it has compiled.
    pub(crate) fn linker(self) -> Command {
        Command::new(self.program)
    }
}

/// This package's folder.
pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a program is on the search path.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs a command that has to succeed; says what it said if it does not.
pub(crate) fn succeed(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{}\n{}{}--- by hand:\n{command:?}",
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
    Ok(said(&output.stdout))
}

/// Each header compiles on its own, and pedantically.
pub(crate) fn header_trials(compiler: Compiler) -> Vec<Trial> {
    const HEADERS: [&str; 5] = ["rundown.h", "ex_rundown.h", "wdm.h", "ntddk.h", "ntifs.h"];
    HEADERS
        .into_iter()
        .map(|header| {
            let (stem, _) = header.split_once('.').unwrap_or((header, ""));
            let name = format!("alone::{}::{stem}", compiler.name);
            Trial::ignorable_test(name, move || Ok(stands_alone(compiler, header)?))
        })
        .collect()
}

fn stands_alone(compiler: Compiler, header: &str) -> Result<Completion> {
    if let Some(reason) = compiler.missing() {
        return Ok(Completion::ignored_with(reason));
    }
    let folder = tempfile::tempdir()?;
    let source: PathBuf = folder.path().join("alone.c");
    // Twice: the guards are part of it.
    std::fs::write(
        &source,
        format!("#include <{header}>\n#include <{header}>\n"),
    )?;
    let mut command = compiler.command();
    command.args(["-pedantic", "-fsyntax-only"]).arg(&source);
    succeed(&mut command)?;
    Ok(Completion::Completed)
}
