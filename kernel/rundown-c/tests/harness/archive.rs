//! The static libraries, each built once, when a test first needs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};
use boot::{guest, workspace};

/// What a build gave, kept for all tests that ask.
type Built = OnceLock<Result<PathBuf, String>>;

/// For the host, by the toolchain that runs this test.
pub(crate) fn host() -> Result<PathBuf> {
    static BUILT: Built = OnceLock::new();
    once(&BUILT, || for_the_host("host", &[]))
}

/// The same with feature `diagnosis`.
pub(crate) fn diagnosis() -> Result<PathBuf> {
    static BUILT: Built = OnceLock::new();
    once(&BUILT, || {
        for_the_host("diagnosis", &["--features", "diagnosis"])
    })
}

fn for_the_host(kind: &str, flags: &[&str]) -> Result<PathBuf> {
    let cargo = PathBuf::from(env::var_os("CARGO").context("cargo runs these tests")?);
    let rustc = cargo.with_file_name("rustc");
    let mut command = workspace::clean_command(&cargo);
    if rustc.is_file() {
        command.env("RUSTC", rustc);
    }
    build(&mut command, kind, flags)?;
    Ok(folder(kind).join("c/librundown_c.a"))
}

/// For the kernel's target, as `cargo boot build --package rundown-c` does.
pub(crate) fn bare_metal() -> Result<PathBuf> {
    static BUILT: Built = OnceLock::new();
    once(&BUILT, guest::build_c_library)
}

/// For the host, instrumented for ThreadSanitizer; by a cargo and a rustc that have the standard
/// library's sources.
pub(crate) fn tsan(cargo: &Path, rustc: &Path) -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    static BUILT: Built = OnceLock::new();
    once(&BUILT, || {
        let mut command = workspace::clean_command(cargo);
        // The variable lets a released compiler take -Z flags. GCC's runtime lacks LLVM's
        // `__tsan_memcpy` and its kin, so those calls are left to its interceptors.
        command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").env(
            "RUSTFLAGS",
            "-Zsanitizer=thread -Cllvm-args=-tsan-instrument-memintrinsics=0",
        );
        build(
            &mut command,
            "tsan",
            &[
                "-Zbuild-std=core,alloc,compiler_builtins",
                "--target",
                TARGET,
            ],
        )?;
        Ok(folder("tsan").join(TARGET).join("c/librundown_c.a"))
    })
}

/// Where a kind of artefact goes: not where the cargo that runs this test has locked its files.
pub(crate) fn folder(kind: &str) -> PathBuf {
    workspace::guest_target_dir()
        .with_file_name("c-programs")
        .join(kind)
}

fn once(built: &Built, build: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    let path = built.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    path.clone().map_err(|error| anyhow!(error))
}

fn build(cargo: &mut Command, kind: &str, flags: &[&str]) -> Result<()> {
    cargo.args(["build", "--quiet", "--package", "rundown-c"]);
    cargo.args(["--profile", "c"]).args(flags);
    cargo.arg("--target-dir").arg(folder(kind));
    let output = cargo.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {:?}", cargo.get_program()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("building the static library ({kind}) failed\n{said}");
    }
    Ok(())
}
