//! Killers that are built in a copy of the whole workspace: tests of its other packages; and those that boot
//! a kernel, which are a test of the rig and the guest it boots.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::{Built, cargo, executable};
use crate::list::Killer;
use crate::scratch::Scratch;

/// The package of all guests that are tests.
const GUESTS: &str = "test-kernels";

/// Where such a copy's builds go: the guests in a folder below.
pub(super) fn target(copy: &Scratch) -> PathBuf {
    copy.root.join("../build")
}

/// Builds the killer. `None` if something does not compile.
pub(super) fn build(copy: &Scratch, killer: &Killer, log: &Path) -> Result<Option<Built>> {
    match killer {
        Killer::Package { package, .. } => test(copy, package, killer.binary(), log),
        _ => guest(copy, killer.binary().context("it names no scenario")?, log),
    }
}

/// Builds a test of a package.
fn test(copy: &Scratch, package: &str, binary: Option<&str>, log: &Path) -> Result<Option<Built>> {
    let which = binary.map_or(vec!["--lib"], |binary| vec!["--test", binary]);
    let messages = "--message-format=json-render-diagnostics";
    let build = ["test", "--no-run", messages, "--package", package];
    let Some(output) = run(copy, build.into_iter().chain(which), log)? else {
        return Ok(None);
    };
    match output.lines().find_map(executable) {
        Some(built) => Ok(Some(built)),
        None => bail!("cargo built no test binary"),
    }
}

/// Builds the test of the rig and its guest.
fn guest(copy: &Scratch, scenario: &str, log: &Path) -> Result<Option<Built>> {
    let Some(mut built) = test(copy, "tests", Some(scenario), log)? else {
        return Ok(None);
    };
    let before = changed(&elf(copy, scenario));
    // The rig would build it, too. But then one that does not compile would look like a failure.
    let guest = ["run", "--package", "boot", "--", "build"];
    let which = ["--package", GUESTS, "--bin", scenario];
    if run(copy, guest.into_iter().chain(which), log)?.is_none() {
        return Ok(None);
    }
    built.fresh = before.is_some() && before == changed(&elf(copy, scenario));
    Ok(Some(built))
}

/// What a cargo writes to its standard output, if it succeeds.
fn run<'a>(
    copy: &Scratch,
    arguments: impl Iterator<Item = &'a str>,
    log: &Path,
) -> Result<Option<String>> {
    let output = cargo()
        .arg("--quiet")
        .args(arguments.map(OsString::from))
        .current_dir(&copy.root)
        .env("CARGO_TARGET_DIR", target(copy))
        .stdin(Stdio::null())
        .output()
        .context("starting cargo")?;
    fs::write(log, &output.stderr).context("writing the log")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(output.status.success().then_some(text))
}

/// Where cargo puts a guest.
fn elf(copy: &Scratch, scenario: &str) -> PathBuf {
    let folder = target(copy).join("guest/x86_64-unknown-none/release");
    folder.join(scenario)
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|data| data.modified()).ok()
}
