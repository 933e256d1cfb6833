//! A run: first every killer on the sources as they are, then each on its mutants.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::list::{Killer, Kind, Mutant};
use crate::tree::Tree;

/// How long a killer may take on the sources as they are; and one that boots a guest, on a mutant: what ends
/// that one is a watchdog, long before.
const DEADLINE: Duration = Duration::from_secs(600);

/// On a mutant, any other may take this many times what it took without, and some slack: the machine may have become
/// busy in between.
const FACTOR: u32 = 10;
const SLACK: Duration = Duration::from_secs(15);

/// The variable by which `tests` learns the seed.
const SEED: &str = "TESTS_SEED";

/// A guest is booted with one seed after the other until one kills the mutant: any change of the code changes how the
/// CPUs interleave. First those in which an instruction takes longest (2^(1 + seed % 7) ns): CPUs take turns most often
/// then, and waits and hangs last the fewest instructions.
const SEEDS: [u32; 16] = [6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 16, 1, 8, 15, 7, 14];

/// A mutant that outlives so many of them is one that the next change may let live.
const MANY_SEEDS: usize = 8;

/// How many characters of a message are shown; the log has all.
const SHOWN: usize = 100;

/// The verdict on a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its killer failed, with this message.
    Failed(String),
    /// Its killer hung, as the list says it would.
    Hung,
    /// Its killer noticed nothing.
    Survived,
    /// The list is wrong about it: this says in what.
    Mistake(String),
}

impl Verdict {
    pub(crate) fn is_killed(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Hung)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) => write!(f, "killed: {message}"),
            Self::Hung => f.write_str("killed (hung)"),
            Self::Survived => f.write_str("SURVIVED"),
            Self::Mistake(what) => write!(f, "ERROR: {what}"),
        }
    }
}

/// Runs the mutants in so many copies of `root` at once, those of guests in the first: another one would build all
/// that guests are made of again. The copies and the logs are in the folder `work`, which is this program's alone.
///
/// # Errors
/// If a killer fails on the sources as they are, or there is no test of that name: then its failure on a
/// mutant would prove nothing.
pub(crate) fn run(
    root: &Path,
    work: &Path,
    mutants: &[&Mutant],
    jobs: usize,
) -> Result<Vec<Verdict>> {
    let logs = work.join("log");
    fs::create_dir_all(&logs)?;
    let copies = (0..jobs.max(1)).map(|number| work.join(format!("copy-{number}")));
    let copies: Result<Vec<Tree>> = copies.map(|folder| Tree::ready(root, &folder)).collect();
    let copies = copies?;
    let mut killers: Vec<&Killer> = mutants.iter().map(|mutant| &mutant.killed_by).collect();
    killers.sort();
    killers.dedup();
    let boots = |killer: &&Killer| killer.kind.is_boot();
    let unbroken = in_copies(&copies, &killers, boots, |copy, killer| {
        let ready = on_unbroken(copy, killer, &logs);
        let words = match &ready {
            Ok((_, time)) => format!("{killer}: passes in {:.2} s", time.as_secs_f64()),
            Err(error) => format!("{killer}: ERROR: {error:#}"),
        };
        (ready, words)
    });
    let ready = killers.into_iter().zip(unbroken);
    let ready = ready.map(|(killer, ready)| Ok((killer, ready?)));
    let ready: Result<BTreeMap<_, _>> = ready.collect();
    let ready = ready.context("on the sources as they are")?;
    let boots = |mutant: &&Mutant| mutant.killed_by.kind.is_boot();
    Ok(in_copies(&copies, mutants, boots, |copy, mutant| {
        let started = Instant::now();
        let log = logs.join(format!("{}.txt", mutant.name));
        let (binary, time) = &ready[&mutant.killed_by];
        let verdict = match boots(mutant) {
            true => on_guest(copy, mutant, binary, &log),
            false => on_mutant(copy, mutant, SLACK + *time * FACTOR, &log),
        };
        let verdict = verdict.unwrap_or_else(|error| Verdict::Mistake(format!("{error:#}")));
        let seconds = started.elapsed().as_secs_f64();
        let Mutant { promise, name, killed_by, .. } = mutant;
        let words = format!("{promise} {name} by {killed_by} in {seconds:.1} s: {verdict}");
        (verdict, words)
    }))
}

/// The killer's binary, and how long it takes.
fn on_unbroken(copy: &Tree, killer: &Killer, logs: &Path) -> Result<(PathBuf, Duration)> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = killer.to_string().chars().map(plain).collect();
    let log = logs.join(format!("unbroken-{name}.txt"));
    let seed = (killer.kind == Kind::Guest).then_some(SEEDS[0]);
    let binary = build(copy, killer, &log)?;
    let started = Instant::now();
    match test(copy, &binary, killer, seed, DEADLINE, &log)? {
        Verdict::Survived => Ok((binary, started.elapsed())),
        verdict => bail!("{killer}: {verdict}; see {}", log.display()),
    }
}

fn on_mutant(copy: &Tree, mutant: &Mutant, allowed: Duration, log: &Path) -> Result<Verdict> {
    let killer = &mutant.killed_by;
    let verdict = copy.broken(mutant, || {
        let binary = build(copy, killer, log)?;
        test(copy, &binary, killer, None, allowed, log)
    })?;
    ensure!(
        mutant.hangs || verdict != Verdict::Hung,
        "after {allowed:?} it still runs; if it hangs, the list must say so"
    );
    Ok(verdict)
}

/// With the test as it was built from sources that are not broken: it builds the guest itself.
fn on_guest(copy: &Tree, mutant: &Mutant, binary: &Path, log: &Path) -> Result<Verdict> {
    let killer = &mutant.killed_by;
    if killer.kind == Kind::Monitor {
        let boot = || test(copy, binary, killer, None, DEADLINE, log);
        let verdict = copy.broken(mutant, boot)?;
        ensure!(verdict != Verdict::Hung, "{verdict}: nothing ends it");
        return Ok(verdict);
    }
    let boot = |seed| test(copy, binary, killer, Some(seed), DEADLINE, log);
    let killed = copy.broken(mutant, || {
        for (tried, seed) in SEEDS.into_iter().enumerate() {
            match boot(seed)? {
                Verdict::Survived => {}
                Verdict::Failed(message) => return Ok(Some((tried, seed, message))),
                verdict => bail!("{verdict}: nothing ends it"),
            }
        }
        Ok(None)
    })?;
    let Some((tried, seed, message)) = killed else {
        return Ok(Verdict::Survived);
    };
    // With the first it has passed already.
    if tried > 0 {
        let unbroken = boot(seed)?;
        ensure!(unbroken == Verdict::Survived, "unbroken, {unbroken}");
    }
    let many = if tried < MANY_SEEDS { "" } else { " (WARNING: one of the last)" };
    Ok(Verdict::Failed(format!("seed {seed}{many}: {message}")))
}

/// Builds the killer's binary.
///
/// # Errors
/// If it does not compile: the log says why.
fn build(copy: &Tree, killer: &Killer, log: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    cargo.args(["--package", &killer.package]);
    match &killer.binary {
        Some(binary) => cargo.args(["--test", binary]),
        None => cargo.arg("--lib"),
    };
    if let Some(feature) = &killer.feature {
        cargo.args(["--features", feature]);
    }
    // Warnings that a mutant causes (an import no longer used) are not its point.
    let (mut flags, mut folder) = ("--cap-lints=warn", "build");
    if killer.kind == Kind::Loom {
        // As CI does it. A folder of its own, because other flags would build everything again.
        cargo.args(["--release", "--features", "loom"]);
        (flags, folder) = ("--cap-lints=warn --cfg rundown_loom", "loom");
    }
    cargo
        .current_dir(&copy.root)
        // It would overrule the other one.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", copy.builds(folder))
        .env("CARGO_INCREMENTAL", "1")
        // Builds are faster without.
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    let output = cargo.stdin(Stdio::null()).output().context("cargo")?;
    fs::write(log, &output.stderr).context("writing the log")?;
    let compiles = output.status.success();
    ensure!(compiles, "does not compile; see {}", log.display());
    // Only the message about the test binary names an executable.
    let messages = String::from_utf8(output.stdout)?;
    let binary = messages.lines().find_map(|message| {
        let message: serde_json::Value = serde_json::from_str(message).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    binary.context("cargo built no test binary")
}

/// Runs the tests that the killer names.
fn test(
    copy: &Tree,
    binary: &Path,
    killer: &Killer,
    seed: Option<u32>,
    deadline: Duration,
    log: &Path,
) -> Result<Verdict> {
    // A file, not a pipe, which would have to be emptied meanwhile.
    let file = File::create(log).context("creating the log")?;
    let package = killer.folder(&copy.root);
    let mut command = Command::new(binary);
    command
        .arg(&killer.test)
        // One boot: names of other cases may begin so.
        .args(killer.kind.is_boot().then_some("--exact"))
        // As cargo does it.
        .current_dir(&package)
        .env("CARGO_MANIFEST_DIR", &package)
        // Where guests are built.
        .env("CARGO_TARGET_DIR", copy.builds("build"))
        .env("RUST_BACKTRACE", "0")
        .env_remove(SEED)
        .envs(seed.map(|seed| (SEED, seed.to_string())))
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file);
    let mut child = command.spawn().context("starting the killer")?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Verdict::Hung);
        }
        thread::sleep(Duration::from_millis(10));
    };
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    ensure!(!text.contains("running 0 tests"), "there is no {killer}");
    let compiles = !text.contains("the guest cannot be built");
    ensure!(compiles, "does not compile; see {}", log.display());
    Ok(match status.success() {
        true => Verdict::Survived,
        false => Verdict::Failed(failure(&text).unwrap_or_else(|| status.to_string())),
    })
}

/// The first line of the first panic's message. A guest's failure is no panic of the test's: it follows the name of
/// its case.
fn failure(output: &str) -> Option<String> {
    let after = |mark: &str| {
        let mut lines = output.lines();
        lines.find(|line| line.contains(mark))?;
        lines.next()
    };
    let message = after(" panicked at ").or_else(|| after("---- "))?;
    Some(message.chars().take(SHOWN).collect())
}

/// Does the work in all copies at once, each taking the next piece when it is free, and those that are `first` only
/// in the first copy; a line says what came of each. The answers are in the order of the pieces.
fn in_copies<T: Sync, A: Send>(
    copies: &[Tree],
    pieces: &[T],
    first: impl Fn(&T) -> bool + Sync,
    work: impl Fn(&Tree, &T) -> (A, String) + Sync,
) -> Vec<A> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|&index| !first(&pieces[index]));
    let queue = Mutex::new(VecDeque::from(order));
    let next = |number| {
        let mut queue = queue.lock().expect("no thread panics with it");
        let is_left = queue.back().is_some_and(|&index| number == 0 || !first(&pieces[index]));
        is_left.then(|| if number == 0 { queue.pop_front() } else { queue.pop_back() })?
    };
    let answers = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for (number, copy) in copies.iter().enumerate() {
            let (next, work, answers) = (&next, &work, &answers);
            scope.spawn(move || {
                while let Some(index) = next(number) {
                    let (answer, words) = work(copy, &pieces[index]);
                    let mut answers = answers.lock().expect("no thread panics with it");
                    answers.insert(index, answer);
                    eprintln!("{:>3}/{}  {words}", answers.len(), pieces.len());
                }
            });
        }
    });
    let answers = answers.into_inner().expect("no thread panicked with it");
    answers.into_values().collect()
}

#[cfg(test)]
mod tests;
