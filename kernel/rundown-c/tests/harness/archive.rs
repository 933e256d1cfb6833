//! The static libraries, each built once, when a test first needs it: as the README says.

use std::path::{Path, PathBuf};
use std::process::Command;
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

/// For the host, by the toolchain that runs this test; perhaps with feature `diagnosis`.
pub(crate) fn host(diagnosis: bool) -> Result<PathBuf> {
    static BUILT: [Built; 2] = [const { Built::new() }; 2];
    once(&BUILT[usize::from(diagnosis)], || {
        let mut cargo = Toolchain::active()?.cargo("build");
        if diagnosis {
            cargo.args(["--features", "diagnosis"]);
        }
        build(cargo, if diagnosis { "diagnosis" } else { "host" }, None)
    })
}

/// For a kernel, by the first toolchain that can. `None` if there is none.
pub(crate) fn bare_metal() -> Result<Option<PathBuf>> {
    static BUILT: Built = OnceLock::new();
    let mut all = Toolchain::all();
    let Some(toolchain) = all.find(|it| it.has_target() || it.has_sources()) else {
        return Ok(None);
    };
    let built = once(&BUILT, || {
        let mut cargo = toolchain.cargo("build");
        if !toolchain.has_target() {
            build_std(&mut cargo);
            cargo.arg("-Zbuild-std-features=compiler-builtins-mem");
        }
        build(cargo, "bare-metal", Some(BARE_METAL))
    });
    built.map(Some)
}

/// For the host, instrumented for ThreadSanitizer; by a toolchain that has the standard library's
/// sources.
pub(crate) fn tsan(toolchain: &Toolchain) -> Result<PathBuf> {
    static BUILT: Built = OnceLock::new();
    once(&BUILT, || {
        let mut cargo = toolchain.cargo("build");
        build_std(&mut cargo);
        // GCC's runtime lacks LLVM's `__tsan_memcpy` and its kin, so those calls are left to its
        // interceptors.
        cargo.env(
            "RUSTFLAGS",
            "-Zsanitizer=thread -Cllvm-args=-tsan-instrument-memintrinsics=0",
        );
        build(cargo, "tsan", Some("x86_64-unknown-linux-gnu"))
    })
}

/// Where a kind of artefact goes.
pub(crate) fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("c-programs")
        .join(kind)
}

/// Has `core` built, too. The variable lets a released compiler take -Z flags; no source here uses an
/// unstable feature.
fn build_std(cargo: &mut Command) {
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.arg("-Zbuild-std=core,alloc,compiler_builtins");
}

/// The archive's path.
fn build(mut cargo: Command, kind: &str, target: Option<&str>) -> Result<PathBuf> {
    cargo.args(["--lib", "--release", "--config", "library.toml"]);
    cargo.args(target.map(|target| format!("--target={target}")));
    cargo.arg("--target-dir").arg(folder(kind));
    succeed(&mut cargo).with_context(|| format!("building the static library ({kind})"))?;
    let folder = folder(kind).join(target.unwrap_or_default());
    Ok(folder.join("release/librundown_c.a"))
}
