//! The static libraries, each built once, when a test first needs it: as the README says.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

use crate::compiler::succeed;
use crate::toolchain::{BARE_METAL, Toolchain};

/// What a build gave, kept for all tests that ask.
pub(crate) type Built = OnceLock<Result<PathBuf, String>>;

/// Builds it now, if that has not been done.
pub(crate) fn once(built: &Built, build: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    let path = built.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    path.clone().map_err(|error| anyhow!(error))
}

/// A build of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// For the host, by the toolchain that runs this test.
    Host,
    /// The same with feature `diagnosis`.
    Diagnosis,
    /// For the host, instrumented for ThreadSanitizer.
    Tsan,
    /// For a kernel.
    BareMetal,
}

impl Library {
    /// The archive's path. `None` if no toolchain here can build it.
    pub(crate) fn archive(self) -> Result<Option<PathBuf>> {
        static BUILT: [Built; 4] = [const { Built::new() }; 4];
        let can = |toolchain: &Toolchain| match self {
            Self::Host | Self::Diagnosis => true,
            // Both halves have to be: otherwise the atomics of `core` would not be seen, and every use would look
            // like a race.
            Self::Tsan => toolchain.has_sources(),
            Self::BareMetal => toolchain.has_target() || toolchain.has_sources(),
        };
        let toolchain = Toolchain::all().find(can);
        let built = toolchain.map(|it| once(&BUILT[self as usize], || self.build(&it)));
        built.transpose()
    }

    fn build(self, toolchain: &Toolchain) -> Result<PathBuf> {
        let (kind, target) = match self {
            Self::Host => ("host", ""),
            Self::Diagnosis => ("diagnosis", ""),
            Self::Tsan => ("tsan", "x86_64-unknown-linux-gnu"),
            Self::BareMetal => ("bare-metal", BARE_METAL),
        };
        let mut cargo = toolchain.cargo("build");
        cargo.args(["--lib", "--release", "--config", "library.toml"]);
        cargo.arg("--target-dir").arg(folder(kind));
        if self == Self::Diagnosis {
            cargo.args(["--features", "diagnosis"]);
        }
        if !target.is_empty() {
            cargo.arg(format!("--target={target}"));
        }
        if self == Self::Tsan {
            // GCC's runtime lacks LLVM's `__tsan_memcpy` and its kin, so those calls are left to its
            // interceptors.
            let flags = "-Zsanitizer=thread -Cllvm-args=-tsan-instrument-memintrinsics=0";
            cargo.env("RUSTFLAGS", flags);
        }
        if self == Self::Tsan || self == Self::BareMetal && !toolchain.has_target() {
            // Lets a released compiler take -Z flags; no source here uses an unstable feature.
            cargo.env("RUSTC_BOOTSTRAP", "1");
            cargo.arg("-Zbuild-std=core,alloc,compiler_builtins");
            cargo.arg("-Zbuild-std-features=compiler-builtins-mem");
        }
        succeed(&mut cargo).with_context(|| format!("building the static library ({kind})"))?;
        Ok(folder(kind).join(target).join("release/librundown_c.a"))
    }
}

/// Where a kind of artefact goes.
pub(crate) fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("c-programs").join(kind)
}
