//! `cargo boot check`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::FAILED;
use crate::guest;
use crate::toolchain::{self, Choice};
use crate::workspace::{self, TARGET, UEFI_TARGET};

const MISSING: &str = "What to do:
  Debian, Ubuntu:  apt-get install --no-install-recommends rust-web-clippy
  rustup:          rustup component add clippy";

/// Runs clippy and rustdoc on the guest crates, and clippy on the kernels that are not of this
/// workspace, warnings being errors. Returns the process's exit status.
pub(super) fn check() -> anyhow::Result<u8> {
    let choice = toolchain::choose(&toolchain::probe(TARGET))?;
    // By its full name: `cargo clippy` would first look into CARGO_HOME, where rustup keeps a
    // proxy for another toolchain.
    let clippy = choice.toolchain.cargo.with_file_name("cargo-clippy");
    ensure!(clippy.is_file(), "there is no {}. {MISSING}", clippy.display());
    let uefi = toolchain::choose(&toolchain::probe(UEFI_TARGET))?;
    // Each by itself: beside the kernel it would have the kernel's features, and want an allocator.
    for (choice, packages) in [
        (&choice, &guest::PACKAGES[..]),
        (&choice, &[guest::C_LIBRARY]),
        (&choice, &[guest::IMAGE]),
        (&uefi, &[guest::LOADER]),
    ] {
        if !check_packages(choice, &clippy, packages)? {
            return Ok(FAILED);
        }
    }
    for folder in guest::FOREIGN {
        let mut lint = lint(&choice, &clippy);
        lint.current_dir(workspace::root().join(folder));
        if !succeeds(lint.args(["--locked", "--", "-D", "warnings"]))? {
            return Ok(FAILED);
        }
    }
    Ok(0)
}

fn lint(choice: &Choice, clippy: &Path) -> Command {
    let mut lint = workspace::clean_command(clippy);
    lint.env("CARGO", &choice.toolchain.cargo).arg("clippy");
    any_kernel(&mut lint);
    guest::prepare(&mut lint, choice, &guest::target_dir(choice));
    lint
}

/// The loader for UEFI wants a kernel to contain; here it is never run.
fn any_kernel(command: &mut Command) {
    command.env(guest::KERNEL, workspace::root().join("boot/uefi/src/none.rs"));
}

fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    let status = command.status();
    let status = status.with_context(|| format!("cannot start {:?}", command.get_program()))?;
    Ok(status.success())
}

/// Whether these packages, built together, pass.
fn check_packages(choice: &Choice, clippy: &Path, packages: &[&str]) -> anyhow::Result<bool> {
    let packages = || packages.iter().flat_map(|package| ["--package", package]);
    let mut lint = lint(choice, clippy);
    lint.args(packages()).args(["--", "-D", "warnings"]);
    let mut document = guest::cargo_command(choice, "doc");
    any_kernel(&mut document);
    document
        .env("RUSTDOC", choice.toolchain.rustc.with_file_name("rustdoc"))
        .env("RUSTDOCFLAGS", "-D warnings")
        .arg("--no-deps")
        .args(packages());
    Ok(succeeds(&mut lint)? && succeeds(&mut document)?)
}
