//! Builds the guests.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::image;
use crate::toolchain::{self, Choice};
use crate::workspace::{self, TARGET, UEFI_TARGET};

/// The packages whose code runs in the guest only.
pub const PACKAGES: [&str; 3] = ["direct", "kernel", TEST_KERNELS];

/// That of the test guests.
pub const TEST_KERNELS: &str = "test-kernels";

/// Its binary with the scenarios.
pub const SUITE: &str = "suite";

/// Names of the scenarios: the rows of the two tables in its sources.
pub(crate) fn scenarios() -> impl Iterator<Item = &'static str> {
    let tables = [
        include_str!("../../tests/kernels/src/suite/main.rs"),
        include_str!("../../tests/kernels/src/suite/doomed.rs"),
    ];
    let rows = tables
        .into_iter()
        .filter_map(|source| source.split_once("SCENARIOS: ")?.1.split_once("\n];"));
    let lines = rows.flat_map(|(rows, _)| rows.lines());
    lines.filter_map(|line| Some(line.strip_prefix("    (\"")?.split_once('"')?.0))
}

/// The package that is a static library for C kernels; built for the host as well.
pub const C_LIBRARY: &str = "rundown-c";

/// The package of an image that a guest loads. It has no allocator.
pub const IMAGE: &str = "test-image";

/// The package of the loader for UEFI.
pub(crate) const LOADER: &str = "uefi-loader";

/// The variable that names the kernel which [`LOADER`] is to contain: a file by [`image::flatten`].
pub(crate) const KERNEL: &str = "KERNEL";

/// The folders of kernels that are not part of this workspace.
pub(crate) const FOREIGN: [&str; 2] = ["tests/foreign/loader_api", "tests/foreign/multiboot2"];

/// The target directory for guests that a toolchain builds. Each has its own: two would take turns
/// in throwing away each other's work.
pub(crate) fn target_dir(choice: &Choice) -> PathBuf {
    workspace::guest_target_dir().join(choice.toolchain.folder())
}

/// Builds all binaries of a guest package, or one of them, with whatever toolchain
/// [`toolchain::choose`] finds, and returns the paths of their ELFs; of [`C_LIBRARY`] that of the
/// archive.
///
/// Cargo's progress goes to standard error. When all is built already this takes well below a
/// second.
///
/// # Errors
///
/// No toolchain is fit (the text says what to install), or the build failed (cargo has said why).
pub fn build(package: &str, bin: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let choice = toolchain::choose(&toolchain::probe(TARGET))?;
    let mut cargo = cargo_command(&choice, "build");
    cargo.args(["--package", package]);
    match bin {
        Some(name) => cargo.args(["--bin", name]),
        // One object file that does not unwind: that file says why.
        None if package == C_LIBRARY => {
            cargo.args(["--lib", "--config", "kernel/rundown-c/library.toml"])
        }
        None => cargo.arg("--bins"),
    };
    run(cargo, package, &choice)
}

/// Builds one binary of a guest package, and returns the path of its ELF.
pub fn build_one(package: &str, name: &str) -> anyhow::Result<PathBuf> {
    one(package, build(package, Some(name))?)
}

/// Builds the one binary of a kernel in `folder`, which is not part of this workspace, and returns
/// the path of its ELF, below `target` there. Otherwise like [`build`].
///
/// If it is `new`, `core` and others of the guests' are not built again, given the same flags and
/// profile. Cargo cannot tell such kernels of one name apart but by time: all files must have been
/// written after the last such build, so one at a time.
pub fn build_foreign(folder: &Path, new: bool) -> anyhow::Result<PathBuf> {
    let shown = folder.display().to_string();
    ensure!(
        folder.join("Cargo.toml").is_file(),
        "{shown} is not the folder of a kernel: it has no Cargo.toml"
    );
    let choice = toolchain::choose(&toolchain::probe(TARGET))?;
    let mut cargo = workspace::clean_command(&choice.toolchain.cargo);
    cargo.current_dir(folder).arg("build");
    prepare(&mut cargo, &choice, Path::new("target"));
    if new {
        cargo.env("CARGO_BUILD_BUILD_DIR", target_dir(&choice));
    }
    one(&shown, run(cargo, &shown, &choice)?)
}

/// Builds the loader for UEFI that contains this kernel, and returns its bytes: `BOOTX64.EFI`.
pub fn build_loader(elf: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || elf.display().to_string();
    let stem = elf.file_stem().and_then(OsStr::to_str).with_context(named)?;
    let name = format!("{stem}.bin");
    let (bytes, source) =
        image::flatten(&fs::read(elf).with_context(named)?, &name).with_context(named)?;
    let folder = workspace::guest_target_dir().join("flat");
    fs::create_dir_all(&folder)?;
    // One at a time, of all threads and processes: the next kernel's loader takes the place of this
    // one's. The lock ends with the file.
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the loader's folder")?;
    let (binary_file, kernel) = (folder.join(name), folder.join(format!("{stem}.rs")));
    for (file, contents) in [(&binary_file, &*bytes), (&kernel, source.as_bytes())] {
        // Untouched, if it is the same, so that nothing is built again.
        if fs::read(file).ok().as_deref() != Some(contents) {
            fs::write(file, contents)?;
        }
    }
    let choice = toolchain::choose(&toolchain::probe(UEFI_TARGET))?;
    let mut cargo = cargo_command(&choice, "build");
    cargo.args(["--package", LOADER]).env(KERNEL, kernel);
    Ok(fs::read(one(LOADER, run(cargo, LOADER, &choice)?)?)?)
}

/// The path of the only program, or library, that was built of `what`.
fn one(what: &str, built: Vec<PathBuf>) -> anyhow::Result<PathBuf> {
    let count = built.len();
    let only = <[PathBuf; 1]>::try_from(built).ok();
    let [path] = only.with_context(|| format!("{what} has {count} programs, not one"))?;
    Ok(path)
}

/// Runs a build of `what`, and returns the programs and static libraries that it reports.
fn run(mut cargo: Command, what: &str, choice: &Choice) -> anyhow::Result<Vec<PathBuf>> {
    if !target_dir(choice).exists() {
        let core = if choice.build_std { ", `core` included," } else { "" };
        let (target, rustc) = (choice.target, choice.toolchain.rustc.display());
        eprintln!("The first build for {target}{core} with {rustc} takes a minute or more.");
    }
    cargo.arg("--message-format=json-render-diagnostics");
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {:?}", cargo.get_program()))?;
    let messages = child.stdout.take().context("cargo has no standard output")?;
    let mut built = Vec::new();
    for line in BufReader::new(messages).lines() {
        built.extend(artifact(&line?));
    }
    let (status, Choice { target, reason, .. }) = (child.wait()?, choice);
    ensure!(
        status.success(),
        "building {what} for {target} failed ({status})\n  toolchain: {reason}"
    );
    Ok(built)
}

/// A cargo command for the guest's target, ready for the packages.
pub(crate) fn cargo_command(choice: &Choice, subcommand: &str) -> Command {
    let mut command = workspace::clean_command(&choice.toolchain.cargo);
    command.arg(subcommand);
    prepare(&mut command, choice, &target_dir(choice));
    command
}

/// Sets the compiler, target, libraries and linker that a cargo uses.
pub(crate) fn prepare(command: &mut Command, choice: &Choice, target_dir: &Path) {
    command.env("RUSTC", &choice.toolchain.rustc);
    command.args(["--release", "--target", choice.target, "--target-dir"]);
    command.arg(target_dir);
    if choice.build_std {
        // Debian's toolchain is a stable one, but its `core` for this target has to be built. The
        // variable unlocks that one flag of cargo; no source here uses an unstable feature.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args([
            "-Zbuild-std=core,alloc,compiler_builtins",
            "-Zbuild-std-features=compiler-builtins-mem",
        ]);
    }
    if let Some(linker) = &choice.linker {
        // Through `--config`, since this adds to the flags in .cargo/config.toml; RUSTFLAGS would
        // replace them.
        let flavor = format!("-Clinker-flavor={}", linker.flavor);
        command.args(["--config", &format!("target.{}.rustflags=[{flavor:?}]", choice.target)]);
        let name = choice.target.to_uppercase().replace('-', "_");
        command.env(format!("CARGO_TARGET_{name}_LINKER"), &linker.path);
    }
}

/// The path of a program or static library, if this line of cargo's messages reports one.
fn artifact(message: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        #[serde(default)]
        filenames: Vec<PathBuf>,
        target: Target,
    }
    #[derive(Deserialize)]
    struct Target {
        kind: Vec<String>,
    }
    // Other kinds of messages lack these fields.
    let Message { executable, filenames, target } = serde_json::from_str(message).ok()?;
    let is_library = target.kind.iter().any(|kind| kind == "staticlib");
    let archive = filenames
        .into_iter()
        .find(|file| is_library && file.extension().is_some_and(|it| it == "a"));
    executable.or(archive)
}

#[cfg(test)]
mod tests {
    use super::{artifact, cargo_command};
    use crate::toolchain::{Choice, Linker, Toolchain};
    use crate::version::Version;
    use crate::workspace::TARGET;

    #[test]
    fn a_static_library_is_found_among_the_messages() {
        for (kind, path) in [("staticlib", Some("/t/it.a".into())), ("lib", None)] {
            let files = r#""filenames":["/t/it.d","/t/it.a"],"executable":null"#;
            let message = format!(r#"{{"target":{{"kind":["{kind}"]}},{files}}}"#);
            assert_eq!(artifact(&message), path);
        }
    }

    #[test]
    fn the_linker_adds_to_the_workspaces_flags_and_does_not_replace_them() {
        let choice = Choice {
            target: TARGET,
            toolchain: Toolchain {
                cargo: "/usr/bin/cargo".into(),
                rustc: "/usr/bin/rustc".into(),
                version: Version { major: 1, minor: 96 },
                has_target: false,
                has_sources: true,
                rust_lld: None,
            },
            build_std: true,
            linker: Some(Linker { path: "/usr/bin/ld".into(), flavor: "ld" }),
            reason: String::new(),
        };
        let command = cargo_command(&choice, "build");
        let flags = r#"target.x86_64-unknown-none.rustflags=["-Clinker-flavor=ld"]"#;
        assert!(command.get_args().any(|it| it == flags));
        assert!(!command.get_envs().any(|(name, value)| name == "RUSTFLAGS" && value.is_some()));
    }
}
