//! Where things are, and what of the surrounding cargo a nested one must not see.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, ensure};

/// The target that guests are built for.
pub const TARGET: &str = "x86_64-unknown-none";

/// The target that the loader for UEFI is built for.
pub const UEFI_TARGET: &str = "x86_64-unknown-uefi";

/// Root of the workspace: around the package that cargo runs or, without cargo, where this tool was
/// built. (A checkout may be moved, and cargo does not build again then.)
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let now = now.iter().flat_map(|package| package.ancestors());
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let mut folders = now.chain(built);
        let root = folders.find(|folder| folder.join(LINKER_SCRIPT).is_file());
        root.expect("neither cargo nor where this tool was built names a checkout").to_path_buf()
    });
    &ROOT
}

/// A file that only the root has below it.
const LINKER_SCRIPT: &str = "boot/direct/link.ld";

/// Target directory for guests.
///
/// Not the one of the surrounding `cargo run` or `cargo test`: a cargo locks its target directory
/// while it builds, and the toolchains would take turns in throwing away each other's work.
pub fn guest_target_dir() -> PathBuf {
    let outer = std::env::var_os("CARGO_TARGET_DIR").map(|dir| root().join(dir));
    outer.unwrap_or_else(|| root().join("target")).join("guest")
}

/// Copies the tracked files below `folder` (empty: all) into `to`, as they are in the working tree,
/// under their paths below `folder`.
pub fn copy(folder: &str, to: &Path) -> anyhow::Result<()> {
    let from = root().join(folder);
    let mut git = Command::new("git");
    let list = git.args(["ls-files", "-z"]).current_dir(&from).output()?;
    let list = String::from_utf8(list.stdout)?;
    ensure!(!list.is_empty(), "no tracked files in {}", from.display());
    // Without those that are deleted, but not committed yet.
    for file in list.split_terminator('\0').filter(|file| from.join(file).exists()) {
        let target = to.join(file);
        fs::create_dir_all(target.parent().context("a file is in a folder")?)?;
        fs::copy(from.join(file), target)?;
    }
    Ok(())
}

/// A command that starts in the workspace's root and sees nothing that a surrounding cargo or
/// rustup left in the environment.
pub fn clean_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_left_over) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a variable steers one particular cargo or rustc, as against the user's own settings
/// (proxies, registries, colours), which hold for every cargo.
fn is_left_over(name: &str) -> bool {
    const SETTINGS: &str = "CARGO_HOME CARGO_HTTP_ CARGO_NET_ CARGO_REGISTRIES_ CARGO_REGISTRY_ CARGO_SOURCE_ CARGO_TERM_";
    const COMPILER: &str = "RUSTC RUSTC_BOOTSTRAP RUSTC_WORKSPACE_WRAPPER RUSTC_WRAPPER RUSTDOC RUSTDOCFLAGS RUSTFLAGS \
                            RUSTUP_TOOLCHAIN RUSTUP_TOOLCHAIN_SOURCE RUST_RECURSION_COUNT";
    let is_setting = SETTINGS.split(' ').any(|setting| name.starts_with(setting));
    (name.starts_with("CARGO") && !is_setting) || COMPILER.split(' ').any(|it| it == name)
}

#[cfg(test)]
mod tests {
    use super::is_left_over;

    #[test]
    fn what_steers_the_outer_cargo_is_left_over_and_settings_stay() {
        let left_over = "CARGO CARGO_BUILD_TARGET CARGO_MANIFEST_DIR CARGO_PKG_NAME CARGO_TARGET_DIR CARGO_ENCODED_RUSTFLAGS \
                         RUSTC RUSTFLAGS RUSTUP_TOOLCHAIN";
        let settings = "CARGO_HOME CARGO_NET_OFFLINE CARGO_TERM_COLOR CARGO_HTTP_PROXY PATH RUSTUP_HOME RUSTUP_AUTO_INSTALL \
                        RUST_BACKTRACE";
        for (names, expected) in [(left_over, true), (settings, false)] {
            for name in names.split_whitespace() {
                assert_eq!(is_left_over(name), expected, "{name}");
            }
        }
    }
}
