//! The C programs: what each is made of, and which cases its source has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Completion, Trial};

use crate::archive::{self, Built, once};
use crate::compiler::{Compiler, package, succeed};

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
    /// Whether it is linked with the library that has feature `diagnosis`.
    diagnosis: bool,
}

/// The variants, and how `tests/c/variant.h` learns of them.
pub(crate) const VARIANTS: [(&str, &str); 2] =
    [("cache_aware", "-DPLAIN=0"), ("plain", "-DPLAIN=1")];

/// Compiled for each variant.
const FOR_EACH: [Program; 6] = [
    Program::of("api"),
    Program::of("completion"),
    Program::of("contract"),
    Program::of("stress"),
    Program::of("tags"),
    Program {
        name: "diagnosis",
        diagnosis: true,
        ..Program::of("tags")
    },
];

/// Compiled once.
const OTHERS: [Program; 5] = [
    Program::of("memory"),
    Program::of("platform"),
    Program::of("windows"),
    Program {
        part: Some("driver.c"),
        ..Program::of("nt_kernel")
    },
    Program {
        part: Some("README.md"),
        ..Program::of("readme")
    },
];

/// Each case of each program, with each compiler.
pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    Compiler::ALL.into_iter().flat_map(|compiler| {
        let each = FOR_EACH.iter().flat_map(move |program| {
            VARIANTS.map(|variant| program.trials(compiler, Some(variant)))
        });
        let others = OTHERS
            .iter()
            .map(move |program| program.trials(compiler, None));
        each.chain(others).flatten()
    })
}

impl Program {
    /// One source.
    const fn of(name: &'static str) -> Self {
        Self {
            name,
            source: name,
            part: None,
            diagnosis: false,
        }
    }

    fn trials(self, compiler: Compiler, variant: Option<(&str, &'static str)>) -> Vec<Trial> {
        let name = match variant {
            Some((variant, _)) => format!("{}::{variant}::{}", self.name, compiler.name),
            None => format!("{}::{}", self.name, compiler.name),
        };
        let flag = variant.map(|(_, flag)| flag);
        let built: Arc<Built> = Arc::default();
        let trial = |case: String| {
            let (folder, built) = (archive::folder(&name.replace("::", "/")), built.clone());
            Trial::ignorable_test(format!("{name}::{case}"), move || {
                if let Some(reason) = compiler.missing() {
                    return Ok(Completion::ignored_with(reason));
                }
                let program = once(&built, || self.build(compiler, flag, &folder))?;
                succeed(Command::new(program).arg(&case))?;
                Ok(Completion::Completed)
            })
        };
        cases(&source(self.source)).into_iter().map(trial).collect()
    }

    /// The executable.
    fn build(self, compiler: Compiler, flag: Option<&str>, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let object = |source: &Path, flags: &[&str]| -> Result<PathBuf> {
            let stem = source.file_stem().context("a source has a name")?;
            let object = folder.join(stem).with_extension("o");
            let mut command = compiler.command();
            command.args(flags).arg("-c").arg(source);
            succeed(command.arg("-o").arg(&object))?;
            Ok(object)
        };
        // Tests are on POSIX; users know nothing of that.
        let mut flags = vec!["-D_GNU_SOURCE"];
        flags.extend(flag);
        flags.extend(self.diagnosis.then_some("-DDIAGNOSIS=1"));
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
        link.arg(archive::host(self.diagnosis)?).arg("-pthread");
        succeed(link.arg("-o").arg(&program))?;
        Ok(program)
    }
}

/// A program's source with the cases.
pub(crate) fn source(name: &str) -> PathBuf {
    package().join("tests/c").join(name).with_extension("c")
}

/// The names of a source's cases: `CASE(name)`.
///
/// # Panics
/// If there are none, or the file cannot be read: then this and the sources disagree.
pub(crate) fn cases(source: &Path) -> Vec<String> {
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
    let code: String = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    ensure!(!code.is_empty(), "no C code");
    Ok(code)
}
