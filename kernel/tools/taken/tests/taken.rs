//! The ways people take the crates, tried in temporary folders with no workspace around them:
//! `cp -r`, `git`, a path.
//!
//! Cargo is run offline first. Only if that fails, because a package was never downloaded on this
//! machine, it is run again and may use the network.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use boot::workspace::{self, copy, root};
use toml::Table;

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

/// `rundown = { git = "..." }`, with a repository made of the tracked files.
#[test]
fn a_git_dependency_resolves_and_builds() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = folder.path().join("repository");
    copy("", &repository).expect("a copy");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        let name = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        git.args(name).args(["-c", "commit.gpgsign=false"]);
        succeed(git.args(arguments).current_dir(&repository));
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message=taken"]);

    let user = folder.path().join("user");
    let url = format!("file://{}", repository.display());
    empty_crate(&user, &format!("rundown = {{ git = {url:?}, features = [\"alloc\"] }}"));
    // Not offline, since cargo then fetches no repository, not even this one. Nothing else is
    // needed: without the feature `std` the crate has no dependency.
    let home = cargo_home(folder.path());
    succeed(cargo(&user).args(["check", "--quiet"]).env("CARGO_HOME", home));
}

/// The user's, except its checkouts: those of a repository soon gone would stay there for months.
fn cargo_home(folder: &Path) -> PathBuf {
    let users = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let home = folder.join("cargo-home");
    fs::create_dir(&home).expect("a folder");
    for entry in users.and_then(|users| users.read_dir().ok()).into_iter().flatten().flatten() {
        if entry.file_name() != "git" {
            symlink(entry.path(), home.join(entry.file_name())).expect("a link");
        }
    }
    home
}

/// How many packages a user's lock file gets: the user's own crate, this one, and libc with the
/// feature `std`. That is also what `cargo vendor` fetches, for all targets and whatever cfg.
#[test]
fn an_empty_crate_locks_three_packages_at_most() {
    for (features, most) in
        [("", 2), ("\"alloc\", \"diagnosis\"", 2), ("\"std\", \"diagnosis\"", 3)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        copy("kernel/rundown", &folder.path().join("rundown")).expect("a copy");
        let user = folder.path().join("user");
        empty_crate(
            &user,
            &format!("rundown = {{ path = \"../rundown\", features = [{features}] }}"),
        );
        run_cargo(&user, &["generate-lockfile", "--quiet"]);
        let lock = fs::read_to_string(user.join("Cargo.lock")).expect("a lock file");
        let packages = lock.matches("[[package]]").count();
        assert!(packages <= most, "{features}: {packages} packages\n{lock}");
    }
}

/// Their manifests say by themselves what the workspace's other packages inherit.
const CRATES: [&str; 5] =
    ["kernel/rundown", "kernel/rundown-c", "kernel/bringup", "boot/direct", "boot/handover"];

#[test]
fn what_the_workspace_says_is_written_out() {
    let workspace = &manifest("")["workspace"];
    for folder in CRATES {
        let own = manifest(folder);
        assert!(!own.to_string().contains("workspace = true"), "{folder} inherits");
        for key in ["version", "edition", "license"] {
            assert_eq!(own["package"][key], workspace["package"][key], "{folder}: {key}");
        }
        for (tool, lints) in workspace["lints"].as_table().expect("lints") {
            for (lint, level) in lints.as_table().expect("lints") {
                let level_here = own["lints"][tool].get(lint);
                // Cfgs of `rundown`, which the others have no use for.
                let expected = level_here.is_none() && lint == "unexpected_cfgs";
                assert!(expected || level_here == Some(level), "{folder}: {lint}");
            }
        }
    }
}

fn manifest(folder: &str) -> Table {
    let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
    text.parse().expect("TOML")
}

/// A command of the cargo that runs this test, in `folder`, without what that cargo has left in the
/// environment. Proxies, registries and the like stay.
fn cargo(folder: &Path) -> Command {
    let cargo = PathBuf::from(env::var_os("CARGO").expect("cargo runs this test"));
    let mut command = workspace::clean_command(&cargo);
    let rustc = cargo.with_file_name("rustc");
    if rustc.is_file() {
        command.env("RUSTC", rustc);
    }
    command.current_dir(folder);
    command
}

/// Runs cargo with `arguments`: offline, and if that fails, again with the network.
fn run_cargo(folder: &Path, arguments: &[&str]) {
    let offline = output(cargo(folder).args(arguments).arg("--offline"));
    if !offline.status.success() {
        succeed(cargo(folder).args(arguments));
    }
}

fn succeed(command: &mut Command) {
    let Output { status, stdout, stderr } = output(command);
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{text}");
}

/// An empty library in `folder`, whose manifest ends with `dependencies`.
fn empty_crate(folder: &Path, dependencies: &str) {
    let manifest = format!(
        "[package]\nname = \"user\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}\n"
    );
    fs::create_dir_all(folder.join("src")).expect("a folder");
    fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    // Uses the crate, so that a dependency that was not built is noticed.
    let source = "#![no_std]\npub use rundown::{Platform, Protected};\n";
    fs::write(folder.join("src/lib.rs"), source).expect("a source");
}

fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
