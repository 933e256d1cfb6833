//! The toolchains on this machine, and commands that see nothing of the cargo that runs these tests.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::compiler::package;

/// A kernel's target.
pub(crate) const BARE_METAL: &str = "x86_64-unknown-none";

/// A cargo and its rustc.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
}

impl Toolchain {
    /// The one that runs this test, then the distribution's.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let active = env::var_os("CARGO").map(PathBuf::from);
        let all = active.into_iter().chain(["/usr/bin/cargo".into()]);
        all.map(|cargo| Self { rustc: cargo.with_file_name("rustc"), cargo })
            .filter(|toolchain| toolchain.cargo.is_file() && toolchain.rustc.is_file())
    }

    /// The one that runs this test.
    pub(crate) fn active() -> Result<Self> {
        Self::all().next().context("no cargo")
    }

    /// Whether it has `core` for [`BARE_METAL`].
    pub(crate) fn has_target(&self) -> bool {
        let folder = self.print(&["target-libdir", "--target", BARE_METAL]);
        let files = folder.and_then(|folder| folder.read_dir().ok());
        files.into_iter().flatten().flatten().any(|file| {
            let name = file.file_name();
            name.as_encoded_bytes().starts_with(b"libcore-")
        })
    }

    /// Whether it has the standard library's sources, so that it can build `core`.
    pub(crate) fn has_sources(&self) -> bool {
        const CORE: &str = "lib/rustlib/src/rust/library/core/Cargo.toml";
        self.print(&["sysroot"]).is_some_and(|sysroot| sysroot.join(CORE).is_file())
    }

    /// `cargo build` or the like, started in this package's folder.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args([subcommand, "--quiet"]);
        command.current_dir(package());
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(steers_a_build) {
                command.env_remove(name);
            }
        }
        command.env("RUSTC", &self.rustc);
        command
    }

    fn print(&self, what: &[&str]) -> Option<PathBuf> {
        let mut rustc = Command::new(&self.rustc);
        rustc.arg("--print").args(what).stderr(Stdio::null());
        let output = rustc.output().ok()?;
        let path = String::from_utf8(output.stdout).ok()?;
        Some(Path::new(path.trim()).to_path_buf()).filter(|_| output.status.success())
    }
}

/// Whether a variable steers one particular build, as against the user's own settings (proxies,
/// registries, colours).
fn steers_a_build(name: &str) -> bool {
    const STARTS: [&str; 8] = [
        "CARGO_BUILD_",
        "CARGO_ENCODED_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ];
    STARTS.iter().any(|start| name.starts_with(start))
}
