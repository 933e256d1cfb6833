//! `cargo boot explore`: many seeds, until one of them fails.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use indicatif::ProgressBar;
use protocol::options::{Options, Scenario};

use super::args::ExploreArgs;
use super::screen::styled;
use super::{kernel, print, run, status};
use crate::outcome::Outcome;
use crate::run::{Boot, Report};
use crate::workspace;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    seed: u32,
    cpus: u32,
}

/// A run that did not pass.
type Failure = (Run, Report);

/// Lines of a failed run that are shown: the last ones.
const SHOWN: usize = 20;

/// Boots, shows how far it is, and returns the process's exit status.
pub(super) fn run(args: &ExploreArgs) -> anyhow::Result<u8> {
    let options = &args.kernel.0;
    let name = options.scenario.as_ref().map_or("kernel", Scenario::name);
    let elf = kernel(None, args.qemu.as_deref(), options)?;
    let file = args.out.clone().unwrap_or_else(|| {
        workspace::guest_target_dir().with_file_name("explore").join(format!("{name}.txt"))
    });
    let key = key(&elf, args)?;
    let (results, done) = open(&file, &key)?;
    let all =
        args.seeds.clone().flat_map(|seed| args.smp.iter().map(move |&cpus| Run { seed, cpus }));
    let todo: Vec<Run> = all.clone().filter(|run| !done.contains(run)).collect();
    let all = all.count();
    let before = all - todo.len();
    run::catch_ctrl_c()?;
    let start = Instant::now();
    let found = try_all(&elf, args, &todo, before, (&key, results))?;
    let seconds = start.elapsed().as_secs();
    let Some((Run { seed, cpus }, report)) = found else {
        print(format!(
            "{name}: {all} runs passed, {before} of them before; {seconds} s; {}",
            file.display()
        ))?;
        return Ok(0);
    };
    let outcome = report.outcome;
    if outcome == Outcome::Interrupted {
        eprintln!("interrupted; the same command goes on from here ({})", file.display());
        return Ok(status(&outcome));
    }
    for line in &report.lines[report.lines.len().saturating_sub(SHOWN)..] {
        eprintln!("{line}");
    }
    eprintln!("error: seed {seed} with {cpus} CPUs: {outcome}");
    let qemu = args.qemu.as_ref().map_or(String::new(), |path| format!(" --qemu {}", quoted(path)));
    let set = Options::KEYS.iter().filter(|key| key.name != "format" && !key.is_default(options));
    let set = set.map(|key| format!(" --{} {}", key.name, key.value(options)));
    eprintln!(
        "Again: cargo boot elf {} --smp {cpus} --seed {seed}{}{qemu}",
        quoted(&run::whole(&elf)?),
        set.collect::<String>(),
    );
    Ok(status(&outcome))
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
    let bar = styled(bar, "[{bar:24}] {pos}/{len}, {elapsed}, {eta} to go; {msg}");
    bar.enable_steady_tick(Duration::from_millis(200));
    let host_cpus = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or_else(host_cpus, |jobs| jobs as usize);
    // The runs still to do; the results; the first failure or error, which ends it all.
    let shared = Mutex::new((todo.iter(), results, None));
    let work = || {
        loop {
            let Some(&run) = lock(&shared, |(next, _, end)| next.next().filter(|_| end.is_none()))
            else {
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
    let (_, _, end) = shared.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    end.transpose()
}

fn lock<T, A>(mutex: &Mutex<T>, act: impl FnOnce(&mut T) -> A) -> A {
    act(&mut mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// `None` if it passed.
fn try_one(elf: &Path, args: &ExploreArgs, run: Run) -> anyhow::Result<Option<Failure>> {
    let options = Options { seed: Some(run.seed), ..args.kernel.0 };
    let boot = Boot::new(elf).qemu(args.qemu.clone()).smp(run.cpus).options(&options);
    let report = boot.interrupt(&run::INTERRUPT).run()?;
    Ok((!report.outcome.passed()).then_some((run, report)))
}

/// The subject of results: this guest, with these options, in this QEMU. In each line, so that
/// those of others stay.
fn key(elf: &Path, args: &ExploreArgs) -> anyhow::Result<String> {
    let mut hasher = DefaultHasher::new();
    fs::read(elf)?.hash(&mut hasher);
    args.kernel.0.to_string().hash(&mut hasher);
    let qemu = crate::qemu::find(args.qemu.as_deref())?;
    crate::qemu::version(&qemu)?.to_string().hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The line about a run that passed.
fn line(key: &str, run: Run, millis: u128) -> String {
    format!("{key} seed {} cpus {} passed {millis} ms\n", run.seed, run.cpus)
}

/// The file of results, to be added to, and the runs with this key that it has.
fn open(path: &Path, key: &str) -> anyhow::Result<(File, BTreeSet<Run>)> {
    let what = || format!("cannot write results to {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(what)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).open(path).with_context(what)?;
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
            _ => bail!("{}: not a file of results, since it says: {line}", path.display()),
        }
    }
    let is_cut = text[whole..].bytes().take(KEY).all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_cut, "{}: not a file of results", path.display());
    file.set_len(whole as u64).with_context(what)?;
    Ok((file, done))
}

/// Hexadecimal digits of a key.
const KEY: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Write;

    use super::{Run, line, open};

    const KEYS: [&str; 3] = ["0123456789abcdef", "1123456789abcdef", "2123456789abcdef"];

    #[test]
    fn what_was_run_is_known_and_what_is_there_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/results.txt");
        let (mut file, done) = open(&path, KEYS[0]).expect("created");
        assert!(done.is_empty());
        let run = Run { seed: 7, cpus: 2 };
        file.write_all(line(KEYS[0], run, 30).as_bytes()).expect("written");
        file.write_all(b"0123456789abcdef seed 8 cp").expect("cut short");
        let (mut file, done) = open(&path, KEYS[0]).expect("opened");
        assert_eq!(done, BTreeSet::from([run]));
        file.write_all(line(KEYS[1], run, 30).as_bytes()).expect("written");
        let (_, done) = open(&path, KEYS[2]).expect("of another guest");
        assert!(done.is_empty());
        let both = [line(KEYS[0], run, 30), line(KEYS[1], run, 30)].concat();
        assert_eq!(fs::read_to_string(&path).expect("a file"), both);
        for notes in ["notes\n", "my notes"] {
            fs::write(&path, notes).expect("written");
            let error = open(&path, KEYS[0]).expect_err("notes").to_string();
            assert!(error.contains("not a file of results"), "{error}");
            assert_eq!(fs::read_to_string(&path).expect("a file"), notes);
        }
    }
}
