//! Building and running one killer in a copy.
//!
//! What is built in a copy of the whole workspace, `whole` builds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::list::Killer;
use crate::scratch::Scratch;

mod whole;

/// A killer that is ready to run.
#[derive(Debug)]
pub(crate) struct Built {
    executable: PathBuf,
    /// Whether cargo found nothing to do.
    pub(crate) fresh: bool,
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended {
    /// All tests passed: how many, and how long they took.
    Passed { tests: usize, time: Duration },
    /// It failed: which test, and what it said.
    Failed(String),
    /// It was still running at the deadline.
    Hung,
}

/// How many characters of a panic's message are shown; the log has all.
const SAID: usize = 100;

/// Builds the killer's binary. `None` if it does not compile: the log says why.
pub(crate) fn build(copy: &Scratch, killer: &Killer, log: &Path) -> Result<Option<Built>> {
    if killer.needs_workspace() {
        return whole::build(copy, killer, log);
    }
    let mut cargo = cargo();
    // Warnings that a mutant causes (an import no longer used) are not its point.
    let mut flags = String::from("--cap-lints=warn");
    let mut target = copy.root.join("../build-host");
    cargo
        .args([
            "test",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .args(["--quiet", "--package", "rundown"]);
    match killer.binary() {
        Some(binary) => cargo.args(["--test", binary]),
        None => cargo.arg("--lib"),
    };
    if !killer.features().is_empty() {
        cargo.args(["--features", &killer.features().join(",")]);
    }
    if let Killer::Loom { .. } = killer {
        // As CI does it. A folder of its own, because other flags would build everything again.
        cargo.args(["--release", "--features", "loom"]);
        flags.push_str(" --cfg rundown_loom");
        target = copy.root.join("../build-loom");
    }
    let output = cargo
        .current_dir(&copy.root)
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_INCREMENTAL", "1")
        .stdin(Stdio::null())
        .output()
        .context("starting cargo")?;
    fs::write(log, &output.stderr).context("writing the log")?;
    if !output.status.success() {
        return Ok(None);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    match messages.lines().find_map(executable) {
        Some(built) => Ok(Some(built)),
        None => bail!("cargo built no test binary"),
    }
}

/// Runs the tests that the killer names.
pub(crate) fn run(
    copy: &Scratch,
    built: &Built,
    killer: &Killer,
    deadline: Duration,
    log: &Path,
) -> Result<Ended> {
    // A file, not a pipe: nobody has to empty it while we watch the clock.
    let output = File::create(log).context("creating the log")?;
    let mut command = Command::new(&built.executable);
    for (name, _) in std::env::vars_os() {
        // What is set for loom outside would change how far the models go.
        if name.to_string_lossy().starts_with("LOOM_") {
            command.env_remove(name);
        }
    }
    if killer.is_guest() {
        // Where the guests have been built.
        command.env("CARGO_TARGET_DIR", whole::target(copy));
    }
    let package = match killer {
        Killer::Package { package, .. } => copy.root.join("kernel").join(package),
        _ => copy.package.clone(),
    };
    let started = Instant::now();
    let mut child = command
        .arg(killer.filter())
        // As cargo does it.
        .current_dir(&package)
        .env("CARGO_MANIFEST_DIR", &package)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stderr(output.try_clone()?)
        .stdout(output)
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
    if status.success() {
        let tests = passed(&text).context("the killer does not end like a libtest binary")?;
        return Ok(Ended::Passed { tests, time });
    }
    Ok(Ended::Failed(
        failure(&text).unwrap_or_else(|| status.to_string()),
    ))
}

/// The cargo that started us; without what it left in the environment for us alone.
pub(super) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let steers = [
            "CARGO_BUILD_",
            "CARGO_PROFILE_",
            "CARGO_ENCODED_",
            "CARGO_TARGET_",
        ]
        .iter()
        .any(|start| text.starts_with(start));
        if steers || text == "RUSTC_WRAPPER" {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// The test binary, if this message of cargo's is about one.
pub(super) fn executable(message: &str) -> Option<Built> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        executable: Option<PathBuf>,
        #[serde(default)]
        fresh: bool,
    }
    let message: Message = serde_json::from_str(message).ok()?;
    let is_artifact = message.reason == "compiler-artifact";
    Some(Built {
        executable: message.executable.filter(|_| is_artifact)?,
        fresh: message.fresh,
    })
}

/// How many tests passed, from `test result: ok. 3 passed; ...`.
fn passed(output: &str) -> Option<usize> {
    let (_, rest) = output.rsplit_once("test result: ok. ")?;
    rest.split_once(" passed")?.0.parse().ok()
}

/// Which test failed and what its panic said, each as far as the output tells.
fn failure(output: &str) -> Option<String> {
    let (thread, said) = first_panic(output).unzip();
    // A model that loom ends by abort (it does at a deadlock) leaves no list of failures; but its
    // thread has the test's name.
    let test = first_in_list(output).or(thread)?;
    Some(match said.or_else(|| first_trouble(output, test)) {
        Some(said) => format!("{test}: {}", said.chars().take(SAID).collect::<String>()),
        None => test.to_string(),
    })
}

/// The first name in libtest's list of failures, which is the last part of its output.
fn first_in_list(output: &str) -> Option<&str> {
    let (_, names) = output.rsplit_once("\nfailures:\n")?;
    names.lines().map(str::trim).find(|name| !name.is_empty())
}

/// The first line about a test that failed without a panic of its own: a guest's.
fn first_trouble<'a>(output: &'a str, test: &str) -> Option<&'a str> {
    let (_, about) = output.split_once(&format!("\n---- {test} ----\n"))?;
    about.lines().next()
}

/// The thread that panicked first, and the first line of what it said.
fn first_panic(output: &str) -> Option<(&str, &str)> {
    let mut lines = output.lines();
    let head = lines.find(|line| line.starts_with("thread '") && line.contains("panicked at"))?;
    let (name, _) = head.strip_prefix("thread '")?.split_once('\'')?;
    Some((name, lines.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_is_understood() {
        let good = "\nrunning 2 tests\ntest a ... ok\ntest b ... ok\n\n\
                    test result: ok. 2 passed; 0 failed; 0 ignored\n";
        assert_eq!(passed(good), Some(2));
        assert_eq!(failure(good), None);
        let bad = "\nrunning 2 tests\ntest a::b ... FAILED\ntest c ... ok\n\nfailures:\n\n\
                   ---- a::b stdout ----\n\nthread 'a::b' (7) panicked at f.rs:1:2:\nboom\nnote\n\nfailures:\n    a::b\n\n\
                   test result: FAILED. 1 passed; 1 failed\n";
        assert_eq!(passed(bad), None);
        assert_eq!(failure(bad).as_deref(), Some("a::b: boom"));
        let aborted = "\nrunning 1 test\n\nthread 'c' (7) panicked at f.rs:1:2:\ndeadlock\n";
        assert_eq!(passed(aborted), None);
        assert_eq!(failure(aborted).as_deref(), Some("c: deadlock"));
        assert_eq!(failure("Segmentation fault"), None);
        let guest = "\nrunning 1 test\ntest d::smp_2 ... FAILED\n\nfailures:\n\n\
                     ---- d::smp_2 ----\nCPU 0 panicked\n--- serial lines\n\n\nfailures:\n    d::smp_2\n\n\
                     test result: FAILED. 0 passed; 1 failed\n";
        assert_eq!(failure(guest).as_deref(), Some("d::smp_2: CPU 0 panicked"));
    }

    #[test]
    fn cargos_messages_are_understood() {
        let library = r#"{"reason":"compiler-artifact","executable":null,"fresh":false}"#;
        assert!(executable(library).is_none());
        let finished = r#"{"reason":"build-finished","success":true}"#;
        assert!(executable(finished).is_none());
        let test = r#"{"reason":"compiler-artifact","executable":"/x/t-1","fresh":true}"#;
        let built = executable(test).expect("a binary");
        assert_eq!((built.executable, built.fresh), ("/x/t-1".into(), true));
    }
}
