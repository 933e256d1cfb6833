//! Building and running one killer in a copy.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::list::{Killer, Kind};
use crate::tree::Tree;

/// A killer that is ready to run.
#[derive(Debug, PartialEq)]
pub(crate) struct Built {
    executable: PathBuf,
    /// Whether there was nothing to build.
    pub(crate) fresh: bool,
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended {
    /// All tests passed: how many, and how long they took.
    Passed { tests: usize, time: Duration },
    /// It failed: which test, and its message.
    Failed(String),
    /// It was still running at the deadline.
    Hung,
}

/// How many characters of a message are shown; the log has all.
const SHOWN: usize = 100;

/// Builds the killer's binary, and the guest that it boots. `None` if something does not compile: the log
/// says why.
pub(crate) fn build(copy: &Tree, killer: &Killer, log: &Path) -> Result<Option<Built>> {
    let mut test = cargo(copy, log);
    test.args([
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    test.args(["--package", killer.package()]);
    match killer.binary() {
        Some(binary) => test.args(["--test", binary]),
        None => test.arg("--lib"),
    };
    if !killer.features.is_empty() {
        test.args(["--features", &killer.features.join(",")]);
    }
    // Warnings that a mutant causes (an import no longer used) are not its point.
    let mut flags = String::from("--cap-lints=warn");
    if killer.kind == Kind::Loom {
        // As CI does it. A folder of its own, because other flags would build everything again.
        test.args(["--release", "--features", "loom"]);
        test.env("CARGO_TARGET_DIR", copy.builds("loom"));
        flags.push_str(" --cfg rundown_loom");
    }
    let Some(messages) = output(test.env("RUSTFLAGS", flags), log)? else {
        return Ok(None);
    };
    let built = messages.lines().find_map(executable);
    let mut built = built.context("cargo built no test binary")?;
    if killer.kind == Kind::Guest {
        let elf = copy
            .builds("build/guest/x86_64-unknown-none/release")
            .join("suite");
        let changed = || fs::metadata(&elf).and_then(|data| data.modified()).ok();
        let before = changed();
        // The rig would build it, too. But then one that does not compile would look like a failure.
        let mut guest = cargo(copy, log);
        guest.args([
            "run",
            "--package",
            "boot",
            "--",
            "build",
            "--package",
            "test-kernels",
            "--bin",
            "suite",
        ]);
        if output(&mut guest, log)?.is_none() {
            return Ok(None);
        }
        built.fresh &= before.is_some() && before == changed();
    }
    Ok(Some(built))
}

/// Runs the tests that the killer names.
pub(crate) fn run(
    copy: &Tree,
    built: &Built,
    killer: &Killer,
    deadline: Duration,
    log: &Path,
) -> Result<Ended> {
    // A file, not a pipe, which would have to be emptied meanwhile.
    let file = File::create(log).context("creating the log")?;
    let mut command = Command::new(&built.executable);
    // What is set for loom outside would change how far the models go.
    without(&mut command, |name| name.starts_with("LOOM_"));
    let package = killer.folder(&copy.root);
    let started = Instant::now();
    if killer.kind == Kind::Guest {
        // One boot: others have names that begin so.
        command.arg("--exact");
    }
    let mut child = command
        .arg(&killer.test)
        // As cargo does it.
        .current_dir(&package)
        .env("CARGO_MANIFEST_DIR", &package)
        // Where the guests have been built.
        .env("CARGO_TARGET_DIR", copy.builds("build"))
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file)
        .spawn()
        .with_context(|| format!("starting {}", built.executable.display()))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Ended::Hung);
        }
        thread::sleep(Duration::from_millis(10));
    };
    let time = started.elapsed();
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    if !status.success() {
        return Ok(Ended::Failed(
            failure(&text).unwrap_or_else(|| status.to_string()),
        ));
    }
    match passed(&text) {
        Some(tests) => Ok(Ended::Passed { tests, time }),
        None => bail!("the killer does not end like a libtest binary"),
    }
}

/// The cargo that started us, at work in a copy; without what it left in the environment for us alone.
fn cargo(copy: &Tree, log: &Path) -> Command {
    // Of this killer, whatever the last one left.
    let _ = fs::remove_file(log);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    without(&mut cargo, |name| {
        let steers = [
            "CARGO_BUILD_",
            "CARGO_PROFILE_",
            "CARGO_ENCODED_",
            "CARGO_TARGET_",
        ];
        steers.iter().any(|start| name.starts_with(start)) || name == "RUSTC_WRAPPER"
    });
    cargo
        .current_dir(&copy.root)
        .env("CARGO_TARGET_DIR", copy.builds("build"))
        .env("CARGO_INCREMENTAL", "1")
        // Builds are faster without.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .stdin(Stdio::null());
    cargo
}

fn without(command: &mut Command, matches: impl Fn(&str) -> bool) {
    for (name, _) in std::env::vars_os() {
        if matches(&name.to_string_lossy()) {
            command.env_remove(AsRef::<OsStr>::as_ref(&name));
        }
    }
}

/// What a cargo writes to its standard output, if it succeeds.
fn output(cargo: &mut Command, log: &Path) -> Result<Option<String>> {
    let output = cargo.output().context("starting cargo")?;
    fs::write(log, &output.stderr).context("writing the log")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(output.status.success().then_some(text))
}

/// The test binary, if this message of cargo's is about one.
fn executable(message: &str) -> Option<Built> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        executable: Option<PathBuf>,
        #[serde(default)]
        fresh: bool,
    }
    let message: Message = serde_json::from_str(message).ok()?;
    let is_artifact = message.reason == "compiler-artifact";
    let executable = message.executable.filter(|_| is_artifact)?;
    Some(Built {
        executable,
        fresh: message.fresh,
    })
}

/// How many tests passed, from `test result: ok. 3 passed; ...`.
fn passed(output: &str) -> Option<usize> {
    let (_, rest) = output.rsplit_once("test result: ok. ")?;
    rest.split_once(" passed")?.0.parse().ok()
}

/// Which test failed, and the first line of its message, each as far as the output has it.
fn failure(output: &str) -> Option<String> {
    let panic = output.split_once("\nthread '").and_then(|(_, panic)| {
        let (thread, rest) = panic.split_once('\'')?;
        Some((thread, rest.lines().nth(1)?))
    });
    // The first in libtest's list, which is the last part of its output. A model that loom ends by abort (it
    // does at a deadlock) leaves no list; but its thread has the test's name.
    let listed = output
        .rsplit_once("\nfailures:\n")
        .and_then(|(_, names)| names.lines().map(str::trim).find(|name| !name.is_empty()));
    let test = listed.or(panic.map(|(thread, _)| thread))?;
    // A guest's failure is no panic of the test's.
    let guest = || {
        output
            .split_once(&format!("\n---- {test} ----\n"))?
            .1
            .lines()
            .next()
    };
    let message = panic.map(|(_, message)| message).or_else(guest);
    let message = message.map_or(String::new(), |text| format!(": {text}"));
    Some(format!(
        "{test}{}",
        message.chars().take(SHOWN).collect::<String>()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_is_understood() {
        let good = "\nrunning 2 tests\ntest a ... ok\ntest b ... ok\n\n\
                    test result: ok. 2 passed; 0 failed; 0 ignored\n";
        let bad = "\nrunning 2 tests\ntest a::b ... FAILED\ntest c ... ok\n\nfailures:\n\n\
                   ---- a::b stdout ----\n\nthread 'a::b' (7) panicked at f.rs:1:2:\nboom\nnote\n\nfailures:\n    a::b\n\n\
                   test result: FAILED. 1 passed; 1 failed\n";
        let aborted = "\nrunning 1 test\n\nthread 'c' (7) panicked at f.rs:1:2:\ndeadlock\n";
        let guest = "\nrunning 1 test\ntest d::smp_2 ... FAILED\n\nfailures:\n\n\
                     ---- d::smp_2 ----\nCPU 0 panicked\n--- serial lines\n\n\nfailures:\n    d::smp_2\n\n\
                     test result: FAILED. 0 passed; 1 failed\n";
        for (output, tests, failed) in [
            (good, Some(2), None),
            (bad, None, Some("a::b: boom")),
            (aborted, None, Some("c: deadlock")),
            ("Segmentation fault", None, None),
            (guest, None, Some("d::smp_2: CPU 0 panicked")),
        ] {
            assert_eq!(
                (passed(output), failure(output).as_deref()),
                (tests, failed),
                "{output}"
            );
        }
    }

    #[test]
    fn cargos_messages_are_understood() {
        let library = r#"{"reason":"compiler-artifact","executable":null,"fresh":false}"#;
        let finished = r#"{"reason":"build-finished","success":true}"#;
        assert_eq!((executable(library), executable(finished)), (None, None));
        let test = r#"{"reason":"compiler-artifact","executable":"/x/t-1","fresh":true}"#;
        let built = Built {
            executable: "/x/t-1".into(),
            fresh: true,
        };
        assert_eq!(executable(test), Some(built));
    }
}
