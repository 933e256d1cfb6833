//! `cp -r kernel/rundown kernel/rundown-c kernel/bringup` into an empty folder.

use std::fs;
use std::process::Command;

use crate::user::{run_cargo, succeed};
use boot::workspace::{copy, root};

#[test]
fn the_crate_builds_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    copy("kernel/rundown", folder.path()).expect("a copy");
    for features in ["", "std,diagnosis"] {
        run_cargo(folder.path(), &["check", "--quiet", "--features", features]);
    }
}

/// With its tests: the README's glue compiles there, too.
#[test]
fn bringup_builds_alone_and_its_readme_compiles() {
    let folder = tempfile::tempdir().expect("a folder");
    copy("kernel/bringup", folder.path()).expect("a copy");
    run_cargo(folder.path(), &["check", "--quiet", "--features", "faults"]);
    run_cargo(folder.path(), &["test", "--quiet", "--doc"]);
}

/// By the README's commands, with its example and the program that tests it.
#[test]
fn the_c_library_builds_and_its_example_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["rundown", "rundown-c"] {
        copy(&format!("kernel/{name}"), &folder.path().join(name)).expect("a copy");
    }
    let package = folder.path().join("rundown-c");
    const BUILD: &str = "cargo build --release --config library.toml";
    let readme = fs::read_to_string(package.join("README.md")).expect("a README");
    assert!(readme.contains(BUILD), "the README has another command");
    let arguments: Vec<&str> = BUILD.split(' ').skip(1).chain(["--quiet"]).collect();
    run_cargo(&package, &arguments);

    let mut blocks = readme.split("```c\n").skip(1).peekable();
    assert!(blocks.peek().is_some(), "no C code in the README");
    let example: String = blocks.filter_map(|block| block.split("```").next()).collect();
    fs::write(package.join("example.c"), example).expect("a source");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-D_GNU_SOURCE", "-Iinclude", "-Iinclude/windows"]);
    gcc.args(["tests/c/readme.c", "example.c"]);
    gcc.args(["target/release/librundown_c.a", "-pthread", "-o", "example"]);
    succeed(gcc.current_dir(&package));
    succeed(&mut Command::new(package.join("example")));
}

/// A copied folder brings its licences.
#[test]
fn the_licences_are_in_each_folder() {
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let text = |folder: &str| fs::read_to_string(root().join(folder).join(name));
        let ours = text("").expect("a licence");
        for folder in ["kernel/rundown", "kernel/rundown-c", "kernel/bringup"] {
            assert_eq!(text(folder).ok().as_ref(), Some(&ours), "{folder}/{name}");
        }
    }
}
