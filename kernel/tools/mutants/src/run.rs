//! A run: first every killer on the sources as they are, then each on its mutants.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::list::{self, Killer, Kind, Mutant};
use crate::tree::Tree;

/// How long a killer may take on the sources as they are; and one that boots a guest, on a mutant: what ends
/// that one is a watchdog, long before.
const DEADLINE: Duration = Duration::from_secs(600);

/// On a mutant, any other may take this many times what it took without, and some slack: the machine may have become
/// busy in between.
const FACTOR: u32 = 10;
const SLACK: Duration = Duration::from_secs(15);

/// The variable by which `tests` learns the seed. A guest is booted with one after the other until one kills the
/// mutant: any change of the code changes how CPUs interleave, so none is better than another.
const SEED: &str = "TESTS_SEED";
const SEEDS: std::ops::RangeInclusive<u32> = 1..=16;

/// A mutant that needs more of them is one that the next change may let live.
const MANY_SEEDS: u32 = 8;

/// How many characters of a message are shown; the log has all.
const SHOWN: usize = 100;

/// The verdict on a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its killer failed, with this message; a guest under this seed.
    Failed(Option<u32>, String),
    /// Its killer hung, as the list says it would.
    Hung,
    /// Its killer noticed nothing.
    Survived,
    /// The list is wrong about it: this says in what.
    Mistake(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(None, message) => write!(f, "killed: {message}"),
            Self::Failed(Some(seed @ ..=MANY_SEEDS), message) => {
                write!(f, "killed by seed {seed}: {message}")
            }
            Self::Failed(Some(seed), message) => {
                write!(f, "killed by seed {seed} (WARNING: so late): {message}")
            }
            Self::Hung => f.write_str("killed (hung)"),
            Self::Survived => f.write_str("SURVIVED"),
            Self::Mistake(what) => write!(f, "ERROR: {what}"),
        }
    }
}

/// A mutant's verdict, and how long it took to build the killer and to run it.
pub(crate) type Judged<'a> = (&'a Mutant, Verdict, Duration);

/// A killer that was built.
#[derive(Deserialize)]
struct Built {
    executable: PathBuf,
    /// Whether there was nothing to build.
    fresh: bool,
}

/// How a killer ended.
#[derive(Debug, PartialEq)]
enum Ended {
    /// So many tests passed.
    Passed(usize),
    /// It failed, with this message.
    Failed(String),
    /// It was still running at the deadline.
    Hung,
}

/// Runs the mutants in so many copies of `root` at once, those of guests in the first: another one would build all
/// that guests are made of once more. What comes of it is in the folder `work`, which is this program's alone.
///
/// # Errors
/// If a killer fails on the sources as they are, or there is no test of that name: then its failure on a
/// mutant would prove nothing.
pub(crate) fn run<'a>(
    root: &Path,
    work: &Path,
    mutants: &[&'a Mutant],
    jobs: usize,
) -> Result<Vec<Judged<'a>>> {
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
    let ready = ready.context("a killer does not pass on the sources as they are")?;
    let boots = |mutant: &&Mutant| mutant.killed_by.kind.is_boot();
    Ok(in_copies(&copies, mutants, boots, |copy, mutant| {
        let started = Instant::now();
        let log = logs.join(format!("{}.txt", mutant.name));
        let (built, time) = &ready[&mutant.killed_by];
        let verdict = match boots(mutant) {
            true => on_guest(copy, mutant, built, &log),
            false => on_mutant(copy, mutant, SLACK + *time * FACTOR, &log),
        };
        let verdict = verdict.unwrap_or_else(|error| Verdict::Mistake(format!("{error:#}")));
        let words = format!("{}: {verdict}", mutant.name);
        ((*mutant, verdict, started.elapsed()), words)
    }))
}

/// The killer, and how long it takes.
fn on_unbroken(copy: &Tree, killer: &Killer, logs: &Path) -> Result<(Built, Duration)> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = killer.to_string().chars().map(plain).collect();
    let log = logs.join(format!("unbroken-{name}.txt"));
    let seed = (killer.kind == Kind::Guest).then_some(*SEEDS.start());
    let built = build(copy, killer, &log)?;
    let started = Instant::now();
    match test(copy, &built, killer, seed, DEADLINE, &log)? {
        Ended::Passed(1..) => Ok((built, started.elapsed())),
        Ended::Passed(0) => bail!("no test's name contains {}", killer.test),
        ended => bail!("{killer}: {ended:?}; see {}", log.display()),
    }
}

fn on_mutant(copy: &Tree, mutant: &Mutant, allowed: Duration, log: &Path) -> Result<Verdict> {
    let killer = &mutant.killed_by;
    let _applied = copy.apply(mutant)?;
    let built = build(copy, killer, log)?;
    ensure!(!built.fresh, "its killer is not built from its file");
    Ok(match test(copy, &built, killer, None, allowed, log)? {
        Ended::Failed(message) => Verdict::Failed(None, message),
        Ended::Passed(_) => Verdict::Survived,
        Ended::Hung if mutant.hangs => Verdict::Hung,
        Ended::Hung => bail!("after {allowed:?} it still runs; if it hangs, the list must say so"),
    })
}

/// With the test as it was built from sources that are not broken: it builds the guest itself.
fn on_guest(copy: &Tree, mutant: &Mutant, built: &Built, log: &Path) -> Result<Verdict> {
    let killer = &mutant.killed_by;
    let boot = |seed| test(copy, built, killer, seed, DEADLINE, log);
    let applied = copy.apply(mutant)?;
    let seeds: Vec<Option<u32>> = match killer.kind {
        Kind::Guest => SEEDS.map(Some).collect(),
        _ => vec![None],
    };
    for seed in seeds {
        match boot(seed)? {
            Ended::Passed(_) => {}
            Ended::Hung => bail!("nothing ends it"),
            Ended::Failed(message) => {
                let builds = !list::read(log)?.contains("the guest cannot be built");
                ensure!(builds, "does not compile");
                drop(applied);
                // Whether it passes with the first, has been seen.
                if seed > Some(*SEEDS.start()) {
                    let unbroken = boot(seed)?;
                    let passes = matches!(unbroken, Ended::Passed(_));
                    ensure!(passes, "unbroken, with {seed:?}: {unbroken:?}");
                }
                return Ok(Verdict::Failed(seed, message));
            }
        }
    }
    Ok(Verdict::Survived)
}

/// Builds the killer's binary.
///
/// # Errors
/// If it does not compile: the log says why.
fn build(copy: &Tree, killer: &Killer, log: &Path) -> Result<Built> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What the cargo that started us left for us alone.
    let steers = "CARGO_BUILD_ CARGO_PROFILE_ CARGO_ENCODED_ CARGO_TARGET_ RUSTC_WRAPPER";
    without(&mut cargo, steers);
    cargo.args([
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    cargo.args(["--package", &killer.package]);
    match &killer.binary {
        Some(binary) => cargo.args(["--test", binary]),
        None => cargo.arg("--lib"),
    };
    if let Some(feature) = &killer.feature {
        cargo.args(["--features", feature]);
    }
    // Warnings that a mutant causes (an import no longer used) are not its point.
    let mut flags = String::from("--cap-lints=warn");
    let mut folder = "build";
    if killer.kind == Kind::Loom {
        // As CI does it. A folder of its own, because other flags would build everything again.
        cargo.args(["--release", "--features", "loom"]);
        flags.push_str(" --cfg rundown_loom");
        folder = "loom";
    }
    cargo
        .current_dir(&copy.root)
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", copy.builds(folder))
        .env("CARGO_INCREMENTAL", "1")
        // Builds are faster without.
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    let output = cargo.stdin(Stdio::null()).output().context("cargo")?;
    fs::write(log, &output.stderr).context("writing the log")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let error = errors.lines().find(|line| line.starts_with("error"));
    let compiles = output.status.success();
    ensure!(compiles, "does not compile: {}", error.unwrap_or_default());
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut built = messages.lines().map(serde_json::from_str);
    // Only of the test binary there is an executable.
    let built = built.find_map(Result::ok);
    built.context("cargo built no test binary")
}

/// Runs the tests that the killer names.
fn test(
    copy: &Tree,
    built: &Built,
    killer: &Killer,
    seed: Option<u32>,
    deadline: Duration,
    log: &Path,
) -> Result<Ended> {
    // A file, not a pipe, which would have to be emptied meanwhile.
    let file = File::create(log).context("creating the log")?;
    let mut command = Command::new(&built.executable);
    // What is set for loom outside would change how far the models go.
    without(&mut command, &format!("LOOM_ {SEED}"));
    command.envs(seed.map(|seed| (SEED, seed.to_string())));
    let package = killer.folder(&copy.root);
    command
        .arg(&killer.test)
        // As cargo does it.
        .current_dir(&package)
        .env("CARGO_MANIFEST_DIR", &package)
        // Where guests are built.
        .env("CARGO_TARGET_DIR", copy.builds("build"))
        .env("RUST_BACKTRACE", "0");
    command.stderr(file.try_clone()?).stdout(file);
    let mut child = command.stdin(Stdio::null()).spawn().context("a killer")?;
    let started = Instant::now();
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
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    if !status.success() {
        let message = failure(&text).unwrap_or_else(|| status.to_string());
        return Ok(Ended::Failed(message));
    }
    let tests = passed(&text).context("it does not end like a libtest binary")?;
    Ok(Ended::Passed(tests))
}

/// Without the variables whose names begin with one of these words.
fn without(command: &mut Command, words: &str) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if words.split(' ').any(|word| text.starts_with(word)) {
            command.env_remove(&name);
        }
    }
}

/// How many tests passed, from `test result: ok. 3 passed; ...`.
fn passed(output: &str) -> Option<usize> {
    let (_, rest) = output.rsplit_once("test result: ok. ")?;
    rest.split_once(" passed")?.0.parse().ok()
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
    first: impl Fn(&T) -> bool,
    work: impl Fn(&Tree, &T) -> (A, String) + Sync,
) -> Vec<A> {
    let (firsts, others): (Vec<usize>, Vec<usize>) =
        (0..pieces.len()).partition(|&index| first(&pieces[index]));
    let [firsts, others] = [firsts, others].map(|queue| Mutex::new(queue.into_iter()));
    let answers = Mutex::new(BTreeMap::new());
    let next = |number| {
        let next = |queue: &Mutex<std::vec::IntoIter<usize>>| queue.lock().ok()?.next();
        let first = if number == 0 { next(&firsts) } else { None };
        first.or_else(|| next(&others))
    };
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
