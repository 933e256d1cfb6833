//! What starts the kernel: QEMU itself, or UEFI firmware (OVMF) by the loader in `boot/uefi`.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// What starts the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Firmware {
    /// QEMU, by its option `-kernel`: at once.
    #[default]
    Direct,
    /// OVMF, from a stick, as on a PC with UEFI: takes 8 to 40 s under TCG.
    Uefi,
}

/// How the loader's own lines begin: that it starts the kernel, or why it cannot.
pub(crate) const LOADER_SPEAKS: &str = "uefi: ";

/// A line of the firmware's without the sequences by which it places it on a terminal.
pub(crate) fn plain(line: &str) -> String {
    // ESC [ up to a letter: ECMA-48, 5.4.
    let mut pieces = line.split("\u{1b}[");
    let mut text = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_ascii_alphabetic());
        text.push_str(end.map_or("", |end| &piece[end + 1..]));
    }
    text
}

/// Where distributions keep OVMF, and the variables that belong to it.
const PLACES: [(&str, &str); 5] = [
    // Debian, Ubuntu
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    // Fedora
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    // Arch
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    // Homebrew
    (
        "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
        "/opt/homebrew/share/qemu/edk2-i386-vars.fd",
    ),
];

/// What to do where OVMF is missing.
pub const REMEDY: &str = "\
Debian, Ubuntu:  apt-get install --no-install-recommends ovmf
Fedora:          dnf install edk2-ovmf
Arch:            pacman -S edk2-ovmf";

/// OVMF: UEFI for QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ovmf {
    /// The firmware.
    pub code: PathBuf,
    /// Its variables as they are at first. It writes to them, so each boot has a copy.
    pub variables: PathBuf,
}

impl Ovmf {
    /// The one on this machine.
    ///
    /// # Errors
    ///
    /// There is none; says where to get it.
    pub fn find() -> anyhow::Result<Self> {
        Self::find_among(&PLACES)
    }

    fn find_among(places: &[(&str, &str)]) -> anyhow::Result<Self> {
        let there = |(code, variables): &&(&str, &str)| {
            Path::new(code).is_file() && Path::new(variables).is_file()
        };
        let (code, variables) = places.iter().find(there).with_context(|| {
            let remedy = REMEDY.replace('\n', "\n  ");
            format!(
                "OVMF, UEFI's firmware for QEMU, is not on this machine. What to do:\n  {remedy}"
            )
        })?;
        Ok(Self {
            code: code.into(),
            variables: variables.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Ovmf, plain};

    #[test]
    fn the_firmwares_lines_are_text() {
        let line = "\u{1b}[2J\u{1b}[01;01H\u{1b}[=3hBdsDxe: loading\u{1b}[";
        assert_eq!(plain(line), "BdsDxe: loading");
    }

    #[test]
    fn both_files_must_be_there_and_the_package_is_named() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let found = Ovmf::find_among(&[("/none", here), (here, "/none"), (here, here)]);
        assert_eq!(found.expect("the last").code.to_str(), Some(here));
        let error = Ovmf::find_among(&[("/none", here)])
            .expect_err("missing")
            .to_string();
        assert!(
            error.contains("apt-get install") && error.contains("ovmf"),
            "{error}"
        );
    }
}
