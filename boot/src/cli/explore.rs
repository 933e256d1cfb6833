//! `cargo boot explore`: many seeds, until one of them fails.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use protocol::options::{Format, Options, Scenario};

use super::args::ExploreArgs;
use super::{FAILED, INTERRUPTED, NOT_TRIED, print, run};
use crate::outcome::Outcome;
use crate::run::{Boot, Line};
use crate::{guest, workspace};

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    seed: u32,
    cpus: u32,
}

/// A run that did not pass.
#[derive(Debug)]
struct Failure {
    run: Run,
    outcome: Outcome,
    /// The last lines that the guest wrote.
    lines: VecDeque<String>,
}

/// Boots, shows how far it is, and returns the process's exit status.
pub(super) fn run(args: &ExploreArgs) -> anyhow::Result<u8> {
    let name = args.scenario.as_ref().map_or("kernel", Scenario::name);
    crate::qemu::find(args.qemu.as_deref())?;
    let elf = guest::build_for(args.scenario)?;
    ensure!(
        !args.smp.contains(&0),
        "--smp 0: a machine has a CPU at least"
    );
    let file = args.out.clone().unwrap_or_else(|| {
        workspace::guest_target_dir()
            .with_file_name("explore")
            .join(format!("{name}.txt"))
    });
    let key = key(&elf, args)?;
    let (results, done) = open(&file, &key)?;
    let all = args
        .seeds
        .clone()
        .flat_map(|seed| args.smp.iter().map(move |&cpus| Run { seed, cpus }));
    let todo: Vec<Run> = all.clone().filter(|run| !done.contains(run)).collect();
    let all = all.count();
    let before = all - todo.len();
    run::catch_ctrl_c()?;
    let start = Instant::now();
    let found = try_all(&elf, args, &todo, before, (&key, results))?;
    let seconds = start.elapsed().as_secs();
    let Some(Failure {
        run,
        outcome,
        lines,
    }) = found
    else {
        print(format!(
            "{name}: {all} runs passed, {before} of them before; {seconds} s; {}",
            file.display()
        ))?;
        return Ok(0);
    };
    if outcome == Outcome::Interrupted {
        eprintln!(
            "interrupted; the same command goes on from here ({})",
            file.display()
        );
        return Ok(INTERRUPTED);
    }
    for line in lines {
        eprintln!("{line}");
    }
    let Run { seed, cpus } = run;
    eprintln!("error: seed {seed} with {cpus} CPUs: {outcome}");
    let qemu = args
        .qemu
        .as_ref()
        .map_or(String::new(), |path| format!(" --qemu {}", quoted(path)));
    let what = args.scenario.map_or_else(
        || format!("--seconds {}", args.seconds),
        |scenario| format!("--scenario {scenario}"),
    );
    eprintln!("Again: cargo boot {what} --smp {cpus} --seed {seed}{qemu}");
    Ok(if matches!(outcome, Outcome::QemuRefused { .. }) {
        NOT_TRIED
    } else {
        FAILED
    })
}

fn quoted(path: &Path) -> String {
    crate::qemu::quote(&path.to_string_lossy())
}

/// Runs what is to be done, several at once, until one does not pass.
fn try_all(
    elf: &Path,
    args: &ExploreArgs,
    todo: &[Run],
    before: usize,
    (key, results): (&str, File),
) -> anyhow::Result<Option<Failure>> {
    let bar = ProgressBar::new((before + todo.len()) as u64).with_position(before as u64);
    if let Ok(style) =
        ProgressStyle::with_template("[{bar:24}] {pos}/{len}, {elapsed}, {eta} to go; {msg}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    let jobs = args
        .jobs
        .or_else(|| Some(thread::available_parallelism().ok()?.get()))
        .unwrap_or(1);
    // What is next; the results; the first failure or error, which ends it all.
    let shared = Mutex::new((todo.iter(), results, None));
    let work = || {
        loop {
            let Some(&run) = lock(&shared, |(next, _, end)| {
                next.next().filter(|_| end.is_none())
            }) else {
                return;
            };
            let start = Instant::now();
            let tried = try_one(elf, args, run);
            let millis = start.elapsed().as_millis();
            lock(&shared, |(_, results, end)| {
                let tried = tried.and_then(|failure| {
                    if failure.is_none() {
                        results.write_all(line(key, run, millis).as_bytes())?;
                    }
                    Ok(failure)
                });
                bar.inc(1);
                bar.set_message(format!("seed {}, {} CPUs", run.seed, run.cpus));
                if let Some(stop) = tried.transpose() {
                    end.get_or_insert(stop);
                }
            });
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, todo.len().max(1)) {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let (_, _, end) = shared
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    end.transpose()
}

fn lock<T, A>(mutex: &Mutex<T>, act: impl FnOnce(&mut T) -> A) -> A {
    act(&mut mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// `None` if it passed.
fn try_one(elf: &Path, args: &ExploreArgs, run: Run) -> anyhow::Result<Option<Failure>> {
    const KEPT: usize = 20;
    let options = Options {
        seconds: args.seconds,
        format: Format::Json,
        seed: Some(run.seed),
        scenario: args.scenario,
        ..Options::default()
    };
    let mut boot = Boot::new(elf).smp(run.cpus).options(&options);
    boot = boot.interrupt(&run::INTERRUPT);
    if let Some(qemu) = &args.qemu {
        boot = boot.qemu(qemu);
    }
    let mut lines = VecDeque::new();
    let ending = boot.watch(|line| {
        let (Line::Log(text) | Line::Event(_, text) | Line::Firmware(text)) = line;
        lines.push_back(text.to_string());
        if lines.len() > KEPT {
            lines.pop_front();
        }
    })?;
    let outcome = ending.outcome;
    Ok((!outcome.passed()).then_some(Failure {
        run,
        outcome,
        lines,
    }))
}

/// What results are of: this guest, for so long, in this QEMU. In each line, so that results of others stay.
fn key(elf: &Path, args: &ExploreArgs) -> anyhow::Result<String> {
    let mut hasher = DefaultHasher::new();
    fs::read(elf)?.hash(&mut hasher);
    args.seconds.hash(&mut hasher);
    args.scenario.as_ref().map(Scenario::name).hash(&mut hasher);
    let qemu = crate::qemu::find(args.qemu.as_deref())?;
    crate::qemu::version(&qemu)?.to_string().hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The line about a run that passed.
fn line(key: &str, run: Run, millis: u128) -> String {
    format!(
        "{key} seed {} cpus {} passed {millis} ms\n",
        run.seed, run.cpus
    )
}

/// The file of results, to be added to, and the runs with this key that it has.
fn open(path: &Path, key: &str) -> anyhow::Result<(File, BTreeSet<Run>)> {
    let what = || format!("cannot write results to {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(what)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .with_context(what)?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(what)?;
    // Of a run whose line was cut short nothing is known.
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let mut done = BTreeSet::new();
    for line in text[..whole].lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            [other, "seed", seed, "cpus", cpus, "passed", _, "ms"] => {
                if let (Ok(seed), Ok(cpus)) = (seed.parse(), cpus.parse())
                    && other == key
                {
                    done.insert(Run { seed, cpus });
                }
            }
            _ => bail!(
                "{}: not a file of results, since it says: {line}",
                path.display()
            ),
        }
    }
    ensure!(
        whole > 0 || text.len() < MOST_OF_A_LINE,
        "{}: not a file of results",
        path.display()
    );
    file.set_len(whole as u64).with_context(what)?;
    Ok((file, done))
}

/// No line is longer.
const MOST_OF_A_LINE: usize = 100;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Write;

    use super::{Run, line, open};

    #[test]
    fn what_was_run_is_known_and_what_is_there_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/results.txt");
        let (mut file, done) = open(&path, "1").expect("created");
        assert!(done.is_empty());
        let run = Run { seed: 7, cpus: 2 };
        file.write_all(line("1", run, 30).as_bytes())
            .expect("written");
        file.write_all(b"1 seed 8 cp").expect("cut short");
        let (mut file, done) = open(&path, "1").expect("opened");
        assert_eq!(done, BTreeSet::from([run]));
        file.write_all(line("2", run, 30).as_bytes())
            .expect("written");
        let (_, done) = open(&path, "3").expect("of another guest");
        assert!(done.is_empty());
        let both = [line("1", run, 30), line("2", run, 30)].concat();
        assert_eq!(fs::read_to_string(&path).expect("a file"), both);
        for notes in ["notes\n", &"notes ".repeat(20)] {
            fs::write(&path, notes).expect("written");
            let error = open(&path, "1").expect_err("notes").to_string();
            assert!(error.contains("not a file of results"), "{error}");
            assert_eq!(fs::read_to_string(&path).expect("a file"), notes);
        }
    }
}
