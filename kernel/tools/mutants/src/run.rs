//! A run: first every killer on the sources as they are, then each on its mutants.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{iter, thread};

use anyhow::{Context, Result, bail, ensure};

use crate::list::{Killer, Mutant, Runner};
use crate::tree::Tree;

/// How long a killer may take on the sources as they are; and one that boots a guest, which a
/// watchdog ends long before, on a mutant.
const DEADLINE: Duration = Duration::from_secs(600);

/// On a mutant, any other may take this many times what it took without, and some slack: the
/// machine may have become busy in between.
const FACTOR: u32 = 10;
const SLACK: Duration = Duration::from_secs(15);

/// The variable by which `tests` learns the seed.
const SEED: &str = "TESTS_SEED";

/// A guest is booted with seed after seed until one kills the mutant: any change of the code
/// changes how the CPUs interleave. First those in which an instruction takes longest (2^(1 + seed
/// % 7) ns): CPUs take turns most often, and waits and hangs last the fewest instructions.
const SEEDS: [u32; 16] = [6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 16, 1, 8, 15, 7, 14];

/// A mutant that outlives this many of them may outlive all after the next change.
const MANY_SEEDS: usize = 8;

/// How a test failed, if it did; so, what killed a mutant. An error if the list is wrong about it.
pub(crate) type Verdict = Result<Option<String>>;

pub(crate) fn words(verdict: &Verdict) -> String {
    match verdict {
        Ok(Some(message)) => format!("killed: {message}"),
        Ok(None) => "SURVIVED".to_owned(),
        Err(error) => format!("ERROR: {error:#}"),
    }
}

/// Runs the mutants in `jobs` copies of `root` in parallel, those of guests in the first, since
/// another would build all guests again. The copies and the logs are in the folder `work`, which is
/// this program's alone. An error if a killer fails on the sources as they are, or there is no test
/// of that name: then its failure on a mutant would prove nothing.
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
    let killers = BTreeMap::from_iter(mutants.iter().map(|mutant| (&mutant.killed_by, *mutant)));
    let one_of_each: Vec<&Mutant> = killers.into_values().collect();
    let ready = in_copies(&copies, &one_of_each, |copy, Mutant { killed_by, .. }| {
        let ready = on_unbroken(copy, killed_by, &logs);
        let words = match &ready {
            Ok((_, time)) => format!("passes in {:.2} s", time.as_secs_f64()),
            Err(error) => format!("ERROR: {error:#}"),
        };
        (ready, format!("{}: {words}", killed_by.words))
    });
    let ready = one_of_each.iter().zip(ready).map(|(one, ready)| Ok((&one.killed_by, ready?)));
    let ready: Result<BTreeMap<_, _>> = ready.collect();
    let ready = ready.context("on the sources as they are")?;
    Ok(in_copies(&copies, mutants, |copy, mutant| {
        let started = Instant::now();
        let Mutant { promise, name, killed_by, .. } = mutant;
        let verdict = on_mutant(copy, mutant, &ready[killed_by], &logs.join(format!("{name}.txt")));
        let (seconds, by) = (started.elapsed().as_secs_f64(), &killed_by.words);
        let words = words(&verdict);
        (verdict, format!("{promise} {name} by {by} in {seconds:.1} s: {words}"))
    }))
}

/// The killer's binary, and how long it takes.
fn on_unbroken(copy: &Tree, killer: &Killer, logs: &Path) -> Result<(PathBuf, Duration)> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = killer.words.chars().map(plain).collect();
    let log = logs.join(format!("unbroken-{name}.txt"));
    let binary = build(copy, killer, &log)?;
    let started = Instant::now();
    let seed = (killer.kind == Runner::Guest).then_some(SEEDS[0]);
    if let Some(failed) = test(copy, &binary, killer, seed, DEADLINE, false, &log)? {
        bail!("{failed}; see {}", log.display());
    }
    Ok((binary, started.elapsed()))
}

/// The verdict, with the killer's binary and time as they are without the mutant.
fn on_mutant(
    copy: &Tree,
    mutant: &Mutant,
    (unbroken, time): &(PathBuf, Duration),
    log: &Path,
) -> Verdict {
    let killer = &mutant.killed_by;
    let allowed = if killer.kind.boots() { DEADLINE } else { SLACK + *time * FACTOR };
    let seeds = SEEDS.map(Some);
    let seeds = if killer.kind == Runner::Guest { &seeds[..] } else { &[None] };
    let attempt =
        |binary: &Path, seed| test(copy, binary, killer, seed, allowed, mutant.hangs, log);
    let killed = copy.broken(mutant, || {
        // A test that boots a guest builds it.
        let broken = if killer.kind.boots() { None } else { Some(build(copy, killer, log)?) };
        for (tried, &seed) in seeds.iter().enumerate() {
            if let Some(message) = attempt(broken.as_ref().unwrap_or(unbroken), seed)? {
                return Ok(Some((tried, seed, message)));
            }
        }
        Ok(None)
    })?;
    let Some((tried, seed, message)) = killed else { return Ok(None) };
    let Some(seed) = seed else { return Ok(Some(message)) };
    // With the first it has passed already.
    let failed = if tried > 0 { attempt(unbroken, Some(seed))? } else { None };
    ensure!(failed.is_none(), "unbroken, with seed {seed}: {failed:?}");
    let many = if tried < MANY_SEEDS { "" } else { " (WARNING: one of the last)" };
    Ok(Some(format!("seed {seed}{many}: {message}")))
}

/// Builds the killer's binary.
fn build(copy: &Tree, killer: &Killer, log: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    match &killer.binary {
        Some(binary) => cargo.args(["--test", binary]),
        None => cargo.arg("--lib"),
    };
    if let Some(feature) = &killer.feature {
        cargo.args(["--features", feature]);
    }
    // Warnings that a mutant causes (an import no longer used) are not its point.
    let (mut flags, mut folder) = ("--cap-lints=warn", "build");
    if killer.kind == Runner::Loom {
        // As CI does it. A folder of its own, because other flags would build everything again.
        cargo.args(["--release", "--features", "loom"]);
        (flags, folder) = ("--cap-lints=warn --cfg rundown_loom", "loom");
    }
    cargo
        .current_dir(copy.root.join(&killer.folder))
        // It would overrule the other one.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", copy.root.with_file_name(folder))
        .env("CARGO_INCREMENTAL", "1")
        // Builds are faster without.
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    let output = cargo.stdin(Stdio::null()).output().context("cargo")?;
    fs::write(log, &output.stderr).context("writing the log")?;
    ensure!(output.status.success(), "does not compile; see {}", log.display());
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
    allowed: Duration,
    hangs: bool,
    log: &Path,
) -> Verdict {
    // A file, not a pipe, which would have to be emptied meanwhile.
    let file = File::create(log).context("creating the log")?;
    let package = copy.root.join(&killer.folder);
    let mut command = Command::new(binary);
    command
        .arg(&killer.test)
        // One boot: names of other cases may begin so.
        .args(killer.kind.boots().then_some("--exact"))
        // As cargo does it.
        .current_dir(&package)
        .env("CARGO_MANIFEST_DIR", &package)
        // Where guests are built.
        .env("CARGO_TARGET_DIR", copy.root.with_file_name("build"))
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
        if started.elapsed() >= allowed {
            child.kill()?;
            child.wait()?;
            ensure!(hangs, "after {allowed:?} it still runs; if it hangs, the list must say so");
            return Ok(Some("it hung".to_owned()));
        }
        thread::sleep(Duration::from_millis(10));
    };
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    ensure!(!text.contains("running 0 tests"), "there is no {}", killer.words);
    let refused = text.contains("the guest cannot be built");
    ensure!(!refused, "does not compile; see {}", log.display());
    Ok((!status.success()).then(|| failure(&text).unwrap_or_else(|| status.to_string())))
}

/// The first line of the first panic's message. A guest's failure is no panic of the test's: it
/// follows the name of its case.
fn failure(output: &str) -> Option<String> {
    let after = |mark: &str| {
        let mut lines = output.lines();
        lines.find(|line| line.contains(mark))?;
        lines.next()
    };
    let message = after(" panicked at ").or_else(|| after("---- "))?;
    // The log has all of it.
    Some(message.chars().take(100).collect())
}

/// Does the work in all copies in parallel, pieces that boot guests in the first, others in any
/// free copy; logs a line for each. The answers are in the order of the pieces.
fn in_copies<'a, A: Send>(
    copies: &[Tree],
    pieces: &[&'a Mutant],
    work: impl Fn(&Tree, &'a Mutant) -> (A, String) + Sync,
) -> Vec<A> {
    let (boots, others): (Vec<_>, Vec<_>) =
        pieces.iter().enumerate().partition(|(_, mutant)| mutant.killed_by.kind.boots());
    let (others, answers) = (Mutex::new(others.into_iter()), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        let mut boots = Some(boots);
        for copy in copies {
            let first = boots.take().unwrap_or_default();
            let (others, answers, work) = (&others, &answers, &work);
            let next = || others.lock().expect("no thread panics with it").next();
            scope.spawn(move || {
                for (index, piece) in first.into_iter().chain(iter::from_fn(next)) {
                    let (answer, words) = work(copy, piece);
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
