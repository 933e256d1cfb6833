//! The static libraries, each built once, when a test first needs it: as the README says.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::package;

/// The cargo that runs this test.
pub(crate) const CARGO: &str = env!("CARGO");

/// For the host.
pub(crate) static HOST: LazyLock<PathBuf> = LazyLock::new(|| build(CARGO, "host", &[]));

/// The same with feature `diagnosis`.
pub(crate) static DIAGNOSIS: LazyLock<PathBuf> =
    LazyLock::new(|| build(CARGO, "diagnosis", &["--features", "diagnosis"]));

/// For a kernel. `None`: neither this toolchain nor the distribution's can build it.
pub(crate) static BARE_METAL: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    const TARGET: &str = "x86_64-unknown-none";
    const CORE: &str = "lib/rustlib/src/rust/library/core/Cargo.toml";
    [CARGO, "/usr/bin/cargo"].into_iter().find_map(|cargo| {
        let print = |what: &str| {
            let mut rustc = Command::new(Path::new(cargo).with_file_name("rustc"));
            let output = rustc.args(["--print", what, "--target", TARGET]).output().ok()?;
            Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
        };
        let mut flags = vec!["--target", TARGET];
        if !print("target-libdir")?.is_dir() {
            if !print("sysroot")?.join(CORE).is_file() {
                return None;
            }
            flags.push("-Zbuild-std=core");
            flags.push("-Zbuild-std-features=compiler-builtins-mem");
        }
        Some(build(cargo, TARGET, &flags))
    })
});

/// The archive's path, after a build with these flags.
fn build(cargo: &str, kind: &str, flags: &[&str]) -> PathBuf {
    let folder = folder(kind);
    let mut cargo = self::cargo(cargo, "build");
    cargo.args(["--lib", "--release", "--config", "library.toml", "--target-dir"]);
    succeed(cargo.arg(&folder).args(flags));
    let target = if flags.contains(&"--target") { kind } else { "" };
    folder.join(target).join("release/librundown_c.a")
}

/// `cargo build` or the like in this package's folder, which sees nothing of the build that runs
/// these tests, but the user's own settings (proxies, registries, colours). A released compiler
/// takes `-Z` flags; no source here uses an unstable feature.
pub(crate) fn cargo(cargo: &str, subcommand: &str) -> Command {
    const OF_A_BUILD: [&str; 5] =
        ["CARGO_BUILD_", "CARGO_ENCODED_", "CARGO_PROFILE_", "CARGO_TARGET_", "RUST"];
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os() {
        if OF_A_BUILD.iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes())) {
            command.env_remove(name);
        }
    }
    command.env("RUSTC", Path::new(cargo).with_file_name("rustc")).env("RUSTC_BOOTSTRAP", "1");
    command.args([subcommand, "--quiet"]).current_dir(package());
    command
}

/// A folder for one kind of artefact.
pub(crate) fn folder(kind: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c-programs").join(kind);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs a command that has to succeed; returns what it printed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let [out, err] =
        [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{}\n{out}{err}--- by hand:\n{command:?}", output.status);
    out
}
