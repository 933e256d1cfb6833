//! The C programs: what each is made of, which cases its source has, and how they end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Completion, Trial};

use crate::archive::{Built, Library, folder, once};
use crate::compiler::{Compiler, on_path, package, succeed};

/// A program of `tests/c`.
#[derive(Clone, Copy, Debug)]
struct Program {
    /// Of the tests.
    name: &'static str,
    /// The source that has the cases.
    source: &'static str,
    /// What is compiled apart from it, as users would, without any of the tests' definitions: another source,
    /// or the C code in the README.
    part: Option<&'static str>,
    library: Library,
}

/// The variants, and how `tests/c/variant.h` learns of them.
const VARIANTS: [(&str, &str); 2] = [("cache_aware", "-DPLAIN=0"), ("plain", "-DPLAIN=1")];

/// Compiled for each variant.
const FOR_EACH: [Program; 5] = [
    Program::of("api"),
    Program::of("contract"),
    Program::of("stress"),
    Program::of("tags"),
    Program::with("diagnosis", Library::Diagnosis, "tags"),
];

/// The same, by GCC alone: the second is the control.
const UNDER_TSAN: [Program; 2] = [
    Program::with("tsan::silent_about", Library::Tsan, "stress"),
    Program::with("tsan::reports", Library::Tsan, "race"),
];

/// Compiled once.
const OTHERS: [Program; 4] = [
    Program::of("memory"),
    Program::of("platform"),
    Program::of("windows").beside("driver.c"),
    Program::of("readme").beside("README.md"),
];

/// Each case of each program, with each compiler.
pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let each = |programs: &'static [Program], compiler| {
        let variants = move |program: &'static Program| {
            VARIANTS.map(|variant| program.trials(compiler, Some(variant)))
        };
        programs.iter().flat_map(variants)
    };
    let all = Compiler::ALL.into_iter().flat_map(move |compiler| {
        let others = OTHERS.iter();
        each(&FOR_EACH, compiler).chain(others.map(move |it| it.trials(compiler, None)))
    });
    all.chain(each(&UNDER_TSAN, Compiler::GCC)).flatten()
}

impl Program {
    /// One source.
    const fn of(source: &'static str) -> Self {
        Self::with(source, Library::Host, source)
    }

    const fn with(name: &'static str, library: Library, source: &'static str) -> Self {
        Self { name, source, part: None, library }
    }

    const fn beside(self, part: &'static str) -> Self {
        Self { part: Some(part), ..self }
    }

    fn trials(self, compiler: Compiler, variant: Option<(&str, &'static str)>) -> Vec<Trial> {
        let name = match variant {
            Some((variant, _)) => format!("{}::{variant}::{}", self.name, compiler.name),
            None => format!("{}::{}", self.name, compiler.name),
        };
        let flag = variant.map(|(_, flag)| flag);
        let built: Arc<Built> = Arc::default();
        let trial = |case: String| {
            let (folder, built) = (folder(&name.replace("::", "/")), built.clone());
            Trial::ignorable_test(format!("{name}::{case}"), move || {
                if let Some(reason) = compiler.missing() {
                    return Ok(Completion::ignored_with(reason));
                }
                let Some(library) = self.library.archive()? else {
                    let reason = "no toolchain here has the standard library's sources";
                    return Ok(Completion::ignored_with(reason));
                };
                let build = || self.build(compiler, flag, &library, &folder);
                self.run(&once(&built, build)?, &case)?;
                Ok(Completion::Completed)
            })
        };
        cases(&source(self.source)).into_iter().map(trial).collect()
    }

    /// The executable.
    fn build(
        self,
        compiler: Compiler,
        flag: Option<&str>,
        library: &Path,
        folder: &Path,
    ) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let sanitize = (self.library == Library::Tsan).then_some("-fsanitize=thread");
        let object = |source: &Path, flags: &[&str]| -> Result<PathBuf> {
            let stem = source.file_stem().context("a source has a name")?;
            let object = folder.join(stem).with_extension("o");
            let mut command = compiler.command();
            command.args(flags).args(sanitize).arg("-c").arg(source);
            succeed(command.arg("-o").arg(&object))?;
            Ok(object)
        };
        // Tests are on POSIX; users know nothing of that.
        let mut flags = vec!["-D_GNU_SOURCE"];
        flags.extend(flag);
        flags.extend((self.library == Library::Diagnosis).then_some("-DDIAGNOSIS=1"));
        let mut link = compiler.linker();
        link.arg(object(&source(self.source), &flags)?);
        if let Some(part) = self.part {
            let mut source = package().join("tests/c").join(part);
            if part.ends_with(".md") {
                source = folder.join("readme_example.c");
                fs::write(&source, code_in(part)?)?;
            }
            // Pool tags are four characters.
            link.arg(object(&source, &["-pedantic", "-Wno-multichar"])?);
        }
        let program = folder.join("program");
        link.arg(library).arg("-pthread").args(sanitize);
        succeed(link.arg("-o").arg(&program))?;
        Ok(program)
    }

    /// Runs one case, which must succeed; but the control must report its race.
    fn run(self, program: &Path, case: &str) -> Result<()> {
        /// The sanitizer's exit code when it has something to report.
        const REPORTED: i32 = 66;
        let mut command = Command::new(program);
        if self.library == Library::Tsan {
            // The runtime wants fixed places for its shadow memory, which much randomisation of addresses
            // can take.
            let fixed = || Command::new("setarch").args(["-R", "true"]).status();
            if on_path("setarch") && fixed().is_ok_and(|status| status.success()) {
                command = Command::new("setarch");
                command.arg("-R").arg(program);
            }
            let options = format!("exitcode={REPORTED} halt_on_error=1");
            command.env("TSAN_OPTIONS", options);
        }
        command.arg(case);
        if self.source != "race" {
            return succeed(&mut command).map(drop);
        }
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
}

/// A program's source with the cases.
fn source(name: &str) -> PathBuf {
    package().join("tests/c").join(name).with_extension("c")
}

/// The names of a source's cases: `CASE(name)`.
///
/// # Panics
/// If there are none, or the file cannot be read: then this and the sources disagree.
fn cases(source: &Path) -> Vec<String> {
    let text = fs::read_to_string(source);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let name = |line: &str| Some(line.strip_prefix("CASE(")?.strip_suffix(')')?.to_owned());
    let names: Vec<_> = text.lines().filter_map(name).collect();
    assert!(!names.is_empty(), "{} has no cases", source.display());
    names
}

/// The C code in a text, all of it as one file.
fn code_in(text: &str) -> Result<String> {
    let text = fs::read_to_string(package().join(text))?;
    let blocks = text.split("```c\n").skip(1);
    let code: String = blocks.filter_map(|block| block.split("```").next()).collect();
    ensure!(!code.is_empty(), "no C code");
    Ok(code)
}
