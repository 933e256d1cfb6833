//! The C programs: what each is made of, and which cases its source has.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Completion, Trial};

use crate::archive;
use crate::compiler::{Compiler, package, succeed};

/// A program of `tests/c`.
#[derive(Debug)]
pub(crate) struct Program {
    /// Of the tests.
    pub(crate) name: &'static str,
    /// The source that has the cases.
    source: &'static str,
    /// What is compiled apart from it, as users would: without any of the tests' definitions.
    part: Part,
    /// Whether it is linked with the library that has feature `diagnosis`.
    diagnosis: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    None,
    /// Another source.
    File(&'static str),
    /// The C code in the README.
    Readme,
}

static ALL: [Program; 9] = [
    Program::of("api"),
    Program::of("completion"),
    Program::of("platform"),
    Program::of("contract"),
    Program {
        part: Part::File("driver.c"),
        ..Program::of("nt_kernel")
    },
    Program::of("stress"),
    Program::of("tags"),
    Program {
        name: "diagnosis",
        diagnosis: true,
        ..Program::of("tags")
    },
    Program {
        part: Part::Readme,
        ..Program::of("readme")
    },
];

impl Program {
    pub(crate) fn all() -> impl IntoIterator<Item = &'static Self> {
        &ALL
    }

    /// One source.
    const fn of(name: &'static str) -> Self {
        Self {
            name,
            source: name,
            part: Part::None,
            diagnosis: false,
        }
    }

    pub(crate) fn trials(&'static self, compiler: Compiler) -> Vec<Trial> {
        cases(&source(self.source))
            .into_iter()
            .map(|case| {
                let name = format!("{}::{}::{case}", self.name, compiler.name);
                Trial::ignorable_test(name, move || Ok(self.run(compiler, &case)?))
            })
            .collect()
    }

    fn run(&self, compiler: Compiler, case: &str) -> Result<Completion> {
        if let Some(reason) = compiler.missing() {
            return Ok(Completion::ignored_with(reason));
        }
        succeed(Command::new(self.built(compiler)?).arg(case))?;
        Ok(Completion::Completed)
    }

    /// The executable; compiled when a case first needs it.
    fn built(&self, compiler: Compiler) -> Result<PathBuf> {
        type Key = (&'static str, Compiler);
        type Built = Arc<OnceLock<Result<PathBuf, String>>>;
        static EXECUTABLES: OnceLock<Mutex<HashMap<Key, Built>>> = OnceLock::new();
        let executables = EXECUTABLES.get_or_init(Mutex::default);
        let built = {
            let mut all = executables
                .lock()
                .map_err(|_| anyhow!("a build panicked"))?;
            all.entry((self.name, compiler)).or_default().clone()
        };
        let path = built.get_or_init(|| self.build(compiler).map_err(|error| format!("{error:#}")));
        path.clone().map_err(|error| anyhow!(error))
    }

    fn build(&self, compiler: Compiler) -> Result<PathBuf> {
        let folder = archive::folder(compiler.name);
        fs::create_dir_all(&folder)?;
        let object = |source: &Path, own: bool| -> Result<PathBuf> {
            let stem = source.file_stem().context("a source has a name")?;
            // Programs are compiled at the same time, some from the same source.
            let object = format!("{}-{}.o", self.name, stem.display());
            let object = folder.join(object);
            let mut command = compiler.command();
            if own {
                // Tests are on POSIX; users know nothing of that.
                command.arg("-D_GNU_SOURCE");
                command.args(self.diagnosis.then_some("-DDIAGNOSIS=1"));
            } else {
                // Pool tags are four characters.
                command.args(["-pedantic", "-Wno-multichar"]);
            }
            command.arg("-c").arg(source).arg("-o").arg(&object);
            succeed(&mut command)?;
            Ok(object)
        };
        let mut objects = vec![object(&source(self.source), true)?];
        match self.part {
            Part::None => {}
            Part::File(name) => {
                objects.push(object(&package().join("tests/c").join(name), false)?);
            }
            Part::Readme => {
                let example = folder.join("readme_example.c");
                fs::write(&example, readme_example()?)?;
                objects.push(object(&example, false)?);
            }
        }
        let program = folder.join(self.name);
        let mut link = compiler.linker();
        let archive = if self.diagnosis {
            archive::diagnosis()
        } else {
            archive::host()
        };
        link.args(&objects).arg(archive?).arg("-pthread");
        link.arg("-o").arg(&program);
        succeed(&mut link)?;
        Ok(program)
    }
}

/// A program's source with the cases.
pub(crate) fn source(name: &str) -> PathBuf {
    package().join("tests/c").join(name).with_extension("c")
}

/// The names of a source's cases: `CASE(name)`, and for `#define KIND k` followed by `#include
/// "x.inc"`, the `EACH(name)` in there as `k_name`.
///
/// # Panics
/// If there are none, or a file cannot be read: then this and the sources disagree.
pub(crate) fn cases(source: &Path) -> Vec<String> {
    let text = |path: &Path| {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut kind = String::new();
    let mut names = Vec::new();
    for line in text(source).lines() {
        if let Some(name) = within(line, "CASE(", ")") {
            names.push(name.to_owned());
        } else if let Some(name) = line.strip_prefix("#define KIND ") {
            name.clone_into(&mut kind);
        } else if let Some(stem) = within(line, "#include \"", ".inc\"") {
            let shared = source.with_file_name(stem).with_extension("inc");
            let shared = text(&shared);
            let each = shared.lines().filter_map(|line| within(line, "EACH(", ")"));
            names.extend(each.map(|name| format!("{kind}_{name}")));
        }
    }
    assert!(!names.is_empty(), "{} has no cases", source.display());
    names
}

fn within<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    line.strip_prefix(before)?.strip_suffix(after)
}

/// The C code in the README, all of it as one file.
fn readme_example() -> Result<String> {
    let text = fs::read_to_string(package().join("README.md"))?;
    let mut blocks = text.split("```c\n").skip(1);
    let first = blocks.next().context("no C code in the README")?;
    let code = |block: &str| block.split("```").next().unwrap_or_default().to_owned();
    Ok(blocks.fold(code(first), |all, block| all + &code(block)))
}
