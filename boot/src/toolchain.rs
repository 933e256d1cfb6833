//! Which toolchain builds the guest, or the loader for UEFI.
//!
//! [`probe`] looks at the machine, [`choose`] decides. The order is
//! 1. the active toolchain, if it has the target's `core` library;
//! 2. the active toolchain, if it has the standard library's sources, and builds `core` itself;
//! 3. the distribution's toolchain below `/usr` (Debian: packages `rustc-web`, `cargo-web` and
//!    `rust-web-src`), in the same two ways.
//!
//! Nothing is ever installed here.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::version::Version;
use crate::workspace::{self, UEFI_TARGET};

/// Oldest compiler that the workspace's sources allow (`rust-version` in its manifest).
const OLDEST: Version = Version { major: 1, minor: 95 };

const REMEDY: &str = "\
What to do:
  with rustup:        rustup target add x86_64-unknown-none x86_64-unknown-uefi
  on Debian, Ubuntu:  sh boot/setup.sh
                      (installs the packages rustc-web, cargo-web and rust-web-src)
  elsewhere:          install these targets or the sources of the standard library
                      (`rust-src`) for your rustc 1.95 or later";

/// A toolchain as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Its cargo.
    pub cargo: PathBuf,
    /// Its compiler.
    pub rustc: PathBuf,
    /// The compiler's version.
    pub version: Version,
    /// Whether it has `core` for the target.
    pub has_target: bool,
    /// Whether it has the standard library's sources, so that it can build `core`.
    pub has_sources: bool,
    /// Its own LLD, rustc's default.
    pub rust_lld: Option<PathBuf>,
}

impl Toolchain {
    /// A name of its own for a folder.
    pub(crate) fn folder(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.rustc.hash(&mut hasher);
        format!("rustc-{}-{:08x}", self.version, hasher.finish() as u32)
    }
}

/// The tools that the machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The target.
    pub target: &'static str,
    /// The toolchain that runs, or would run, in the workspace's root.
    pub active: Option<Toolchain>,
    /// The one below `/usr`, if that is not the active one.
    pub distribution: Option<Toolchain>,
    /// Linkers for the target on the search path, the best first.
    pub linkers: Vec<Linker>,
}

/// How the guest is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The target.
    pub target: &'static str,
    /// The toolchain.
    pub toolchain: Toolchain,
    /// Whether `core` and `alloc` have to be built, too.
    pub build_std: bool,
    /// Linker to use instead of the toolchain's own, which is missing.
    pub linker: Option<Linker>,
    /// Why this one.
    pub reason: String,
}

/// A linker, and how rustc has to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    /// The program.
    pub path: PathBuf,
    /// For rustc's `-Clinker-flavor`; also the program's usual name.
    pub flavor: &'static str,
}

/// Decides how to build the guest with what was found.
pub fn choose(found: &Found) -> anyhow::Result<Choice> {
    let target = found.target;
    let mut reasons = Vec::new();
    let candidates =
        [("the active toolchain", &found.active), ("the distribution's", &found.distribution)];
    for (name, candidate) in candidates {
        let Some(toolchain) = candidate else {
            reasons.push(format!("{name}: not found"));
            continue;
        };
        let version = toolchain.version;
        let what = format!("{name}, rustc {version} ({})", toolchain.rustc.display());
        let (build_std, why) = if version < OLDEST {
            reasons.push(format!("{what}: older than {OLDEST}"));
            continue;
        } else if toolchain.has_target {
            (false, format!("it has the target {target}"))
        } else if toolchain.has_sources {
            (true, "it has the standard library's sources and can build `core` itself".to_string())
        } else {
            reasons.push(format!("{what}: has neither the target nor the sources (`rust-src`)"));
            continue;
        };
        let Some(linker) = linker_for(toolchain, found) else {
            reasons.push(format!("{what}: no linker (rust-lld, {})", flavors(target).join(", ")));
            continue;
        };
        let reason = reasons.iter().map(|r| format!("not {r}; ")).collect::<String>();
        let reason = format!("{reason}{what}: {why}");
        return Ok(Choice { target, toolchain: toolchain.clone(), build_std, linker, reason });
    }
    let reasons = reasons.join("\n  ");
    bail!("no toolchain on this machine can build for the target {target}\n  {reasons}\n{REMEDY}")
}

/// `Some(None)`: the toolchain's own. `None`: there is none at all.
fn linker_for(toolchain: &Toolchain, found: &Found) -> Option<Option<Linker>> {
    if toolchain.rust_lld.is_some() {
        return Some(None);
    }
    let active_lld = found.active.as_ref().and_then(|active| active.rust_lld.clone());
    let flavor = flavors(found.target)[0];
    let active_lld = active_lld.map(|path| Linker { path, flavor });
    active_lld.or_else(|| found.linkers.first().cloned()).map(Some)
}

/// The linkers that serve a target beside rust-lld, the best first. UEFI's files are of Windows'
/// format, which GNU's linker for Linux does not know.
pub(crate) fn flavors(target: &str) -> &'static [&'static str] {
    if target == UEFI_TARGET { &["lld-link"] } else { &["ld.lld", "ld"] }
}

/// Looks at the machine. Runs `rustc --version` and the like, about 0.1 s.
pub fn probe(target: &'static str) -> Found {
    let active = inspect(&active_rustc(), target);
    let distribution = inspect(Path::new("/usr/bin/rustc"), target)
        .filter(|other| active.as_ref().is_none_or(|active| active.rustc != other.rustc));
    let linker = |&flavor| on_path(flavor).map(|path| Linker { path, flavor });
    let linkers = flavors(target).iter().filter_map(linker).collect();
    Found { target, active, distribution, linkers }
}

/// The compiler beside the cargo that started this process; started by hand, the one on the path.
fn active_rustc() -> PathBuf {
    let beside_cargo = env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustc"));
    beside_cargo.filter(|rustc| rustc.is_file()).unwrap_or_else(|| "rustc".into())
}

fn inspect(rustc: &Path, target: &str) -> Option<Toolchain> {
    let version = Version::find(&output_of(rustc, &["--version"])?)?;
    let host_and_target =
        output_of(rustc, &["--print=sysroot", "--print=target-libdir", "--target", target])?;
    let mut paths = host_and_target.lines().map(PathBuf::from);
    let (sysroot, target_libs) = (paths.next()?, paths.next()?);
    let host_libs = PathBuf::from(output_of(rustc, &["--print=target-libdir"])?.trim());
    let program = |name: &str| Some(sysroot.join("bin").join(name)).filter(|path| path.is_file());
    Some(Toolchain {
        // A toolchain that was linked by hand may lack a cargo; then the outer one serves.
        cargo: program("cargo").or_else(|| env::var_os("CARGO").map(PathBuf::from))?,
        rustc: program("rustc").unwrap_or_else(|| rustc.to_path_buf()),
        version,
        has_target: has_core(&target_libs),
        has_sources: sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file(),
        rust_lld: Some(host_libs.with_file_name("bin").join("rust-lld"))
            .filter(|lld| lld.is_file()),
    })
}

fn has_core(target_libs: &Path) -> bool {
    target_libs.read_dir().is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"libcore-"))
    })
}

fn output_of(program: &Path, arguments: &[&str]) -> Option<String> {
    // Keeps rustup's choice of toolchain (`cargo +nightly boot`), unlike the build itself.
    let output = Command::new(program)
        .args(arguments)
        .current_dir(workspace::root())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
}

/// The first file of that name on the search path.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests;
