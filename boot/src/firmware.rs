//! Ways to start the kernel: by QEMU itself, or by UEFI firmware (OVMF) and the loader in
//! `boot/uefi`.

use std::path::PathBuf;

use anyhow::Context;

/// A way to start the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Firmware {
    /// QEMU, by its option `-kernel`: immediately.
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

/// Where distributions keep OVMF and its variables: how both paths begin, and their ends.
const PLACES: [[&str; 3]; 5] = [
    // Debian, Ubuntu
    ["/usr/share/OVMF/OVMF_", "CODE_4M.fd", "VARS_4M.fd"],
    ["/usr/share/OVMF/OVMF_", "CODE.fd", "VARS.fd"],
    // Fedora
    ["/usr/share/edk2/ovmf/OVMF_", "CODE.fd", "VARS.fd"],
    // Arch
    ["/usr/share/edk2/x64/OVMF_", "CODE.4m.fd", "VARS.4m.fd"],
    // Homebrew
    [HOMEBREW, "x86_64-code.fd", "i386-vars.fd"],
];
const HOMEBREW: &str = "/opt/homebrew/share/qemu/edk2-";

const MISSING: &str = "\
OVMF, UEFI's firmware for QEMU, is not on this machine. What to do:
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
    pub fn find() -> anyhow::Result<Self> {
        let mut places = PLACES.iter().map(|[start, code, variables]| Self {
            code: format!("{start}{code}").into(),
            variables: format!("{start}{variables}").into(),
        });
        let found = places.find(|ovmf| ovmf.code.is_file() && ovmf.variables.is_file());
        found.context(MISSING)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_firmwares_lines_are_text() {
        let line = "\u{1b}[2J\u{1b}[01;01H\u{1b}[=3hBdsDxe: loading\u{1b}[";
        assert_eq!(super::plain(line), "BdsDxe: loading");
    }
}
