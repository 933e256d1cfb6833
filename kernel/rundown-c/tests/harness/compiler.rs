//! The compilers: GCC and Clang, as C11 and as C++17.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Warnings are errors, on the user's side of the header as well.
const WARNINGS: [&str; 3] = ["-Wall", "-Wextra", "-Werror"];

/// A compiler and a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// As it is in the names of tests.
    pub(crate) name: &'static str,
    program: &'static str,
    language: &'static [&'static str],
}

impl Compiler {
    pub(crate) const GCC: Self = Self::new("gcc_c11", "gcc", Self::C11);
    pub(crate) const ALL: [Self; 4] = [
        Self::GCC,
        Self::new("gcc_cpp17", "g++", Self::CPP17),
        Self::new("clang_c11", "clang", Self::C11),
        Self::new("clang_cpp17", "clang++", Self::CPP17),
    ];
    const C11: &[&str] = &["-std=c11", "-x", "c"];
    const CPP17: &[&str] = &["-std=c++17", "-x", "c++"];

    const fn new(
        name: &'static str,
        program: &'static str,
        language: &'static [&'static str],
    ) -> Self {
        Self { name, program, language }
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
