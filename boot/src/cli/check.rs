//! `cargo boot check`.

use anyhow::{Context, bail};

use super::FAILED;
use crate::toolchain;
use crate::{guest, workspace};

/// What to do where clippy is missing.
const REMEDY: &str = "\
Debian, Ubuntu:  apt-get install --no-install-recommends rust-web-clippy
rustup:          rustup component add clippy";

/// Runs clippy on the guest crates, warnings being errors. Returns the process's exit status.
pub(super) fn check() -> anyhow::Result<u8> {
    let choice = toolchain::choose(&toolchain::probe())?;
    // By its full name: `cargo clippy` would first look into CARGO_HOME, where rustup keeps a
    // proxy for another toolchain.
    let clippy = choice.toolchain.cargo.with_file_name("cargo-clippy");
    if !clippy.is_file() {
        let remedy = REMEDY.replace('\n', "\n  ");
        bail!("there is no {}. What to do:\n  {remedy}", clippy.display());
    }
    let mut command = workspace::clean_command(&clippy);
    command.env("CARGO", &choice.toolchain.cargo).arg("clippy");
    guest::prepare(&mut command, &choice);
    for package in guest::PACKAGES {
        command.args(["--package", package]);
    }
    command.args(["--", "-D", "warnings"]);
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", clippy.display()))?;
    Ok(if status.success() { 0 } else { FAILED })
}
