//! Compiles and runs the C programs of `tests/c`, a named test for each of them, each variant and
//! each compiler: `windows::cache_aware::gcc_c11`.
//!
//! - [`library`]: the static libraries, built once each, when a test first needs one;
//! - [`freestanding`]: a link without any library, and the machine code;
//! - [`header`]: whether the header declares what the sources define.

mod freestanding;
mod header;
mod library;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::LazyLock;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::library::{DIAGNOSIS, HOST, folder, succeed};

/// In the names of tests, the program, and how it compiles.
const COMPILERS: [(&str, &str, [&str; 3]); 4] = [
    ("gcc_c11", "gcc", ["-std=c11", "-x", "c"]),
    ("gcc_cpp17", "g++", ["-std=c++17", "-x", "c++"]),
    ("clang_c11", "clang", ["-std=c11", "-x", "c"]),
    ("clang_cpp17", "clang++", ["-std=c++17", "-x", "c++"]),
];

/// The programs: name, sources in `tests/c`, flags, library. `README.md` means the C code in it.
const PROGRAMS: [(&str, &[&str], &str, &LazyLock<PathBuf>); 11] = [
    ("api::cache_aware", &["api.c"], "-DPLAIN=0", &HOST),
    ("api::plain", &["api.c"], "-DPLAIN=1", &HOST),
    ("windows::cache_aware", &["windows.c"], "-DPLAIN=0", &HOST),
    ("windows::plain", &["windows.c"], "-DPLAIN=1", &HOST),
    ("tags::cache_aware", &["tags.c"], "-DPLAIN=0", &HOST),
    ("tags::plain", &["tags.c"], "-DPLAIN=1", &HOST),
    ("diagnosis::cache_aware", &["tags.c", "-DDIAGNOSIS=1"], "-DPLAIN=0", &DIAGNOSIS),
    ("diagnosis::plain", &["tags.c", "-DDIAGNOSIS=1"], "-DPLAIN=1", &DIAGNOSIS),
    ("memory", &["memory.c"], "-DPLAIN=0", &HOST),
    ("platform", &["platform.c"], "-DPLAIN=0", &HOST),
    ("readme", &["readme.c", "README.md"], "-DPLAIN=0", &HOST),
];

/// Warnings are errors, on the user's side of the header as well. Pool tags are four characters.
const FLAGS: [&str; 6] = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-multichar", "-O2"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = freestanding::trials();
    trials.push(Trial::test("header::declares_what_the_sources_define", || {
        header::declares_what_the_sources_define();
        Ok(())
    }));
    for (program, sources, flags, library) in PROGRAMS {
        trials.extend(COMPILERS.map(|(name, compiler, language)| {
            let name = format!("{program}::{name}");
            Trial::ignorable_test(name.clone(), move || {
                // Cargo links with GCC, so only others can be missing.
                if Command::new(compiler).arg("--version").output().is_err() {
                    return Ok(Completion::ignored_with(format!("{compiler} is not installed")));
                }
                let program = folder(&name.replace("::", "/")).join("program");
                let mut command = compile(compiler, &language);
                // Tests are on POSIX.
                command.args(["-D_GNU_SOURCE", flags, "-pthread", "-o"]).arg(&program);
                let folder = program.parent().expect("a folder");
                command.args(sources.iter().map(|source| path(source, folder)));
                succeed(command.args(["-x", "none"]).arg(&**library));
                succeed(&mut Command::new(&program));
                Ok(Completion::Completed)
            })
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A command that compiles, warnings being errors, and finds the headers.
fn compile(compiler: &str, language: &[&str]) -> Command {
    let mut command = Command::new(compiler);
    command.args(FLAGS).args(language);
    for folder in ["include", "include/windows", "tests/c"] {
        command.arg("-I").arg(package().join(folder));
    }
    command
}

/// A source of `tests/c`; a flag as it is; and of a text all its C code, as one file in `folder`.
fn path(source: &str, folder: &Path) -> PathBuf {
    if source.starts_with('-') {
        return source.into();
    }
    if !source.ends_with(".md") {
        return package().join("tests/c").join(source);
    }
    let text = fs::read_to_string(package().join(source)).expect(source);
    let blocks = text.split("```c\n").skip(1);
    let code: String = blocks.filter_map(|block| block.split("```").next()).collect();
    assert!(!code.is_empty(), "no C code");
    let path = folder.join("readme_example.c");
    fs::write(&path, code).expect("written");
    path
}

/// This package's folder.
fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
