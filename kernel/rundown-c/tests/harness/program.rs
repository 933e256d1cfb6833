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
    /// Of the source that has the cases, and of the tests.
    pub(crate) name: &'static str,
    /// What is compiled apart from it, as users would: without any of the tests' definitions.
    part: Part,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    None,
    /// Another source.
    File(&'static str),
    /// The C code in the README.
    Readme,
}

static ALL: [Program; 6] = [
    Program {
        name: "api",
        part: Part::None,
    },
    Program {
        name: "platform",
        part: Part::None,
    },
    Program {
        name: "contract",
        part: Part::None,
    },
    Program {
        name: "nt_kernel",
        part: Part::File("driver.c"),
    },
    Program {
        name: "stress",
        part: Part::None,
    },
    Program {
        name: "readme",
        part: Part::Readme,
    },
];

impl Program {
    pub(crate) fn all() -> impl IntoIterator<Item = &'static Self> {
        &ALL
    }

    /// Whether it is C++ as well. The README speaks C only.
    pub(crate) fn is_cpp(&self) -> bool {
        self.part != Part::Readme
    }

    pub(crate) fn trials(&'static self, compiler: Compiler) -> Vec<Trial> {
        cases(&source(self.name))
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
            let object = folder.join(stem).with_extension("o");
            let mut command = compiler.command();
            // Tests are on POSIX; users know nothing of that. Pool tags are four characters.
            command.arg(if own {
                "-D_GNU_SOURCE"
            } else {
                "-Wno-multichar"
            });
            command.arg("-c").arg(source).arg("-o").arg(&object);
            succeed(&mut command)?;
            Ok(object)
        };
        let mut objects = vec![object(&source(self.name), true)?];
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
        link.args(&objects).arg(archive::host()?).arg("-pthread");
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
