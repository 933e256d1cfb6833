//! A user's folder and commands.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use boot::workspace;

/// A command of the cargo that runs this test, in `folder`, without what that cargo has left in the
/// environment. Proxies, registries and the like stay.
pub(crate) fn cargo(folder: &Path) -> Command {
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
pub(crate) fn run_cargo(folder: &Path, arguments: &[&str]) {
    let offline = output(cargo(folder).args(arguments).arg("--offline"));
    if !offline.status.success() {
        succeed(cargo(folder).args(arguments));
    }
}

/// What a command printed; it has to succeed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = output(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// An empty library in `folder`, whose manifest ends with `dependencies`.
pub(crate) fn empty_crate(folder: &Path, dependencies: &str) {
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
