//! Builds the guests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use protocol::options::Scenario;
use serde::Deserialize;

use crate::image;
use crate::toolchain::{self, Choice};
use crate::workspace::{self, TARGET, UEFI_TARGET};

/// The packages whose code runs in the guest only.
pub const PACKAGES: [&str; 3] = ["direct", "kernel", "test-kernels"];

/// The package that is a static library for C kernels; built for the host as well.
pub const C_LIBRARY: &str = "rundown-c";

/// The package of an image that a guest loads. It has no allocator.
pub const IMAGE: &str = "test-image";

/// The package of the loader for UEFI.
pub(crate) const LOADER: &str = "uefi-loader";

/// The variable that names the kernel which [`LOADER`] is to contain.
pub(crate) const KERNEL: &str = "KERNEL";

/// The folders of kernels that are not part of this workspace.
pub(crate) const FOREIGN: [&str; 2] = ["tests/foreign/loader_api", "tests/foreign/multiboot2"];

/// The target directory of all of them: what does not change from one copy of a kernel to the next is not built again.
pub(crate) fn foreign_target_dir() -> PathBuf {
    workspace::guest_target_dir().join("foreign")
}

/// Cargo's profile for guests.
pub(crate) const RELEASE: &str = "release";

/// The binaries of a guest package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guests {
    elves: BTreeMap<String, PathBuf>,
}

impl Guests {
    /// The ELF of a binary.
    ///
    /// # Panics
    ///
    /// If the package has no binary of that name.
    #[must_use]
    pub fn elf(&self, name: &str) -> &Path {
        let Some(elf) = self.elves.get(name) else {
            let names: Vec<_> = self.elves.keys().collect();
            panic!("no guest {name:?} was built, only {names:?}")
        };
        elf
    }

    /// All binaries by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.elves
            .iter()
            .map(|(name, elf)| (name.as_str(), elf.as_path()))
    }
}

/// Builds all binaries of a guest package, with whatever toolchain [`toolchain::choose`] finds.
///
/// Cargo's progress goes to standard error. When all is built already this takes well below a
/// second.
///
/// # Errors
///
/// No toolchain is fit (the text says what to install), or the build failed (cargo has said why).
pub fn build(package: &str) -> anyhow::Result<Guests> {
    let mut guests = Guests::default();
    run_build(package, RELEASE, &["--bins"], |message| {
        guests.elves.extend(binary(message));
    })?;
    Ok(guests)
}

/// Builds one binary of a guest package, and returns the path of its ELF. Otherwise like [`build`].
///
/// # Errors
///
/// As there; or the package has no such binary.
pub fn build_one(package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let mut elf = None;
    run_build(package, RELEASE, &["--bin", name], |message| {
        elf = binary(message).map(|(_, elf)| elf).or_else(|| elf.take());
    })?;
    elf.context("cargo has built no binary")
}

/// Builds the kernel or, for one of its scenarios, the guest of the tests. Otherwise like [`build_one`].
///
/// # Errors
///
/// As there.
pub fn build_for(scenario: Option<Scenario>) -> anyhow::Result<PathBuf> {
    match scenario {
        None => build_one("kernel", "kernel"),
        Some(_) => build_one("test-kernels", "suite"),
    }
}

/// Builds the one binary of a kernel in `folder`, which is not part of this workspace, and returns the path of its ELF.
/// Otherwise like [`build`].
///
/// # Errors
///
/// As there.
pub fn build_foreign(folder: &Path) -> anyhow::Result<PathBuf> {
    let choice = toolchain::choose(&toolchain::probe(TARGET))?;
    let mut cargo = workspace::clean_command(&choice.toolchain.cargo);
    cargo.current_dir(folder).args(["build", "--locked"]);
    prepare(&mut cargo, &choice, RELEASE, &foreign_target_dir());
    let mut elf = None;
    run(cargo, "it", &choice, |message| {
        elf = binary(message).map(|(_, elf)| elf).or_else(|| elf.take());
    })?;
    elf.context("cargo has built no binary")
}

/// Builds the loader for UEFI that contains this kernel, and returns its bytes: `BOOTX64.EFI`.
///
/// # Errors
///
/// The ELF cannot be read; no toolchain is fit; the build failed.
pub fn build_loader(elf: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let stripped = image::strip(&bytes).with_context(|| elf.display().to_string())?;
    let folder = workspace::guest_target_dir().join("stripped");
    fs::create_dir_all(&folder)?;
    // One at a time, of all threads and processes: the next kernel's loader takes the place of this one's. The
    // lock ends with the file.
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the loader's folder")?;
    let kernel = folder.join(elf.file_name().context("an ELF has a name")?);
    // Untouched, if it is the same, so that nothing is built again.
    if fs::read(&kernel).ok().as_deref() != Some(&*stripped) {
        fs::write(&kernel, stripped)?;
    }
    let choice = toolchain::choose(&toolchain::probe(UEFI_TARGET))?;
    let mut cargo = cargo_command(&choice, "build", RELEASE);
    cargo.args(["--package", LOADER]).env(KERNEL, kernel);
    let mut loader = None;
    run(cargo, LOADER, &choice, |message| {
        loader = binary(message)
            .map(|(_, path)| path)
            .or_else(|| loader.take());
    })?;
    Ok(fs::read(loader.context("cargo has built no loader")?)?)
}

/// Builds [`C_LIBRARY`] for the guest's target, and returns the path of the archive. Otherwise like
/// [`build`].
///
/// # Errors
///
/// As there.
pub fn build_c_library() -> anyhow::Result<PathBuf> {
    let mut archive = None;
    // One object file that does not unwind: that file says why.
    let flags = ["--lib", "--config", "kernel/rundown-c/library.toml"];
    run_build(C_LIBRARY, RELEASE, &flags, |message| {
        archive = static_library(message).or_else(|| archive.take());
    })?;
    archive.context("cargo has built no static library")
}

/// Runs `cargo build` for one package, and hands on each line of its messages.
fn run_build(
    package: &str,
    profile: &str,
    targets: &[&str],
    each_message: impl FnMut(&str),
) -> anyhow::Result<()> {
    let choice = toolchain::choose(&toolchain::probe(TARGET))?;
    let mut cargo = cargo_command(&choice, "build", profile);
    cargo.args(["--package", package]);
    cargo.args(targets);
    run(cargo, package, &choice, each_message)
}

/// Runs a build of `what`, and hands on each line of its messages.
fn run(
    mut cargo: Command,
    what: &str,
    choice: &Choice,
    mut each_message: impl FnMut(&str),
) -> anyhow::Result<()> {
    cargo.arg("--message-format=json-render-diagnostics");
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", choice.toolchain.cargo.display()))?;
    let messages = child
        .stdout
        .take()
        .context("cargo has no standard output")?;
    for line in BufReader::new(messages).lines() {
        each_message(&line?);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!(
            "building {what} for {} failed ({status})\n  toolchain: {}",
            choice.target,
            choice.reason
        );
    }
    Ok(())
}

/// A cargo command for the guest's target, ready for the packages.
pub(crate) fn cargo_command(choice: &Choice, subcommand: &str, profile: &str) -> Command {
    let mut command = workspace::clean_command(&choice.toolchain.cargo);
    command.arg(subcommand);
    prepare(
        &mut command,
        choice,
        profile,
        &workspace::guest_target_dir(),
    );
    command
}

/// Tells a cargo which compiler, profile, target, libraries and linker to use.
pub(crate) fn prepare(command: &mut Command, choice: &Choice, profile: &str, target_dir: &Path) {
    command.env("RUSTC", &choice.toolchain.rustc);
    command.args([
        "--profile",
        profile,
        "--target",
        choice.target,
        "--target-dir",
    ]);
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
        command.args([
            "--config",
            &format!("target.{}.rustflags=[{flavor:?}]", choice.target),
        ]);
        let name = choice.target.to_uppercase().replace('-', "_");
        command.env(format!("CARGO_TARGET_{name}_LINKER"), &linker.path);
    }
}

/// A binary's name and path, if this line of cargo's messages tells of one.
fn binary(message: &str) -> Option<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Target,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    // Other kinds of messages lack these fields.
    let message: Message = serde_json::from_str(message).ok()?;
    Some((message.target.name, message.executable?))
}

/// The archive's path, if this line of cargo's messages tells of a static library.
fn static_library(message: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        filenames: Vec<PathBuf>,
        target: Target,
    }
    #[derive(Deserialize)]
    struct Target {
        kind: Vec<String>,
    }
    let message: Message = serde_json::from_str(message).ok()?;
    let is_one = message.target.kind.iter().any(|kind| kind == "staticlib");
    let mut files = message.filenames.into_iter().filter(|_| is_one);
    files.find(|file| file.extension().is_some_and(|extension| extension == "a"))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Guests, RELEASE, binary, cargo_command, static_library};
    use crate::toolchain::{Choice, Linker, Toolchain};
    use crate::version::Version;
    use crate::workspace::TARGET;

    #[test]
    fn binaries_are_found_among_the_messages() {
        let artifact = r#"{"reason":"compiler-artifact","package_id":"p","target":{"kind":["bin"],
            "name":"storm","src_path":"x"},"executable":"/t/storm","fresh":true}"#;
        assert_eq!(
            binary(artifact),
            Some(("storm".into(), PathBuf::from("/t/storm")))
        );
        for other in [
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"l"},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not JSON",
        ] {
            assert_eq!(binary(other), None, "{other}");
        }
    }

    #[test]
    fn the_static_library_is_found_among_the_messages() {
        let artifact = r#"{"reason":"compiler-artifact","target":{"kind":["staticlib"],"name":"c"},
            "filenames":["/t/libc.d","/t/libc.a"],"executable":null,"fresh":true}"#;
        assert_eq!(static_library(artifact), Some(PathBuf::from("/t/libc.a")));
        let other = artifact.replace("staticlib", "lib");
        for other in [other.as_str(), r#"{"reason":"build-finished"}"#, "not JSON"] {
            assert_eq!(static_library(other), None, "{other}");
        }
    }

    #[test]
    #[should_panic(expected = "no guest \"b\" was built, only [\"a\"]")]
    fn asking_for_a_guest_that_is_none_names_those_there_are() {
        let guests = Guests {
            elves: [("a".into(), PathBuf::from("/a"))].into(),
        };
        assert_eq!(guests.elf("a"), Path::new("/a"));
        let _ = guests.elf("b");
    }

    #[test]
    fn the_linker_adds_to_the_workspaces_flags_and_does_not_replace_them() {
        let toolchain = Toolchain {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            version: Version {
                major: 1,
                minor: 96,
            },
            has_target: false,
            has_sources: true,
            rust_lld: None,
        };
        let linker = Some(Linker {
            path: "/usr/bin/ld".into(),
            flavor: "ld",
        });
        let choice = Choice {
            target: TARGET,
            toolchain,
            build_std: true,
            linker,
            reason: String::new(),
        };
        let command = cargo_command(&choice, "build", RELEASE);
        let arguments: Vec<_> = command.get_args().filter_map(|a| a.to_str()).collect();
        assert!(
            arguments.contains(&r#"target.x86_64-unknown-none.rustflags=["-Clinker-flavor=ld"]"#)
        );
        assert!(arguments.contains(&"-Zbuild-std=core,alloc,compiler_builtins"));
        assert!(
            !command
                .get_envs()
                .any(|(name, value)| name == "RUSTFLAGS" && value.is_some())
        );
    }
}
