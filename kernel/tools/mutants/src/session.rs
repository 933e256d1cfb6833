//! A run: first every killer on the sources as they are, then each on its mutants.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::killer::{self, Ended};
use crate::list::{self, Killer, Kind, Mutant};
use crate::tree::Tree;

/// How long a killer may take on the sources as they are. The slowest model takes seconds.
const UNBROKEN_DEADLINE: Duration = Duration::from_secs(600);

/// On a mutant a killer may take this many times what it took without, and some slack.
const FACTOR: u32 = 10;

/// The slack: the machine may have become busy in between.
pub(crate) const SLACK: Duration = Duration::from_secs(15);

/// The verdict on a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its killer failed: which test, and its message.
    Failed(String),
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
            Self::Failed(test) => write!(f, "killed (failed): {test}"),
            Self::Hung => f.write_str("killed (hung)"),
            Self::Survived => f.write_str("SURVIVED"),
            Self::Mistake(what) => write!(f, "ERROR: {what}"),
        }
    }
}

/// A mutant with its verdict.
#[derive(Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) mutant: &'a Mutant,
    pub(crate) verdict: Verdict,
    /// To build the killer and to run it.
    pub(crate) time: Duration,
}

/// Where a run works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// The workspace to break copies of.
    pub(crate) root: &'a Path,
    /// A folder that is this program's alone: copies, builds, logs.
    pub(crate) work: &'a Path,
    pub(crate) slack: Duration,
}

impl Run<'_> {
    /// Runs the mutants in so many copies at once, but those whose killers are guests one by one: each boot
    /// takes the whole machine. The verdicts are in the order of the list, guests last.
    ///
    /// # Errors
    /// If a killer fails on the sources as they are, or there is no test of that name: then its failure on a
    /// mutant would prove nothing.
    pub(crate) fn run<'a>(&self, mutants: &[&'a Mutant], jobs: usize) -> Result<Vec<Judged<'a>>> {
        fs::create_dir_all(self.work.join("log"))?;
        let copies = (0..jobs.max(1)).map(|number| self.work.join(format!("copy-{number}")));
        let copies = copies.map(|folder| Tree::ready(self.root, &folder));
        let copies: Vec<Tree> = copies.collect::<Result<_>>()?;
        let guest = |mutant: &&&Mutant| mutant.killed_by.kind == Kind::Guest;
        let (guests, others): (Vec<&Mutant>, Vec<&Mutant>) = mutants.iter().partition(guest);
        let mut judged = self.judge(&copies, &others)?;
        judged.extend(self.judge(&copies[..1], &guests)?);
        Ok(judged)
    }

    fn judge<'a>(&self, copies: &[Tree], mutants: &[&'a Mutant]) -> Result<Vec<Judged<'a>>> {
        let mut killers: Vec<&Killer> = mutants.iter().map(|mutant| &mutant.killed_by).collect();
        killers.sort();
        killers.dedup();
        let times = in_copies(
            "killers, nothing broken",
            copies,
            &killers,
            |copy, killer| {
                let time = self.on_unbroken(copy, killer);
                let words = match &time {
                    Ok(time) => format!("{killer}: passes in {:.2} s", time.as_secs_f64()),
                    Err(error) => format!("{killer}: ERROR: {error:#}"),
                };
                (time, words)
            },
        );
        let mut allowed = BTreeMap::new();
        let mut complaints = Vec::new();
        for (killer, time) in killers.iter().zip(times) {
            match time {
                Ok(time) => drop(allowed.insert(*killer, self.slack + time * FACTOR)),
                Err(error) => complaints.push(format!("{killer}: {error:#}")),
            }
        }
        let list = complaints.join("\n");
        ensure!(
            list.is_empty(),
            "killers that do not pass on the sources as they are:\n{list}"
        );
        Ok(in_copies("mutants", copies, mutants, |copy, &mutant| {
            let started = Instant::now();
            let verdict = self.on_mutant(copy, mutant, allowed[&mutant.killed_by]);
            let verdict = verdict.unwrap_or_else(|error| Verdict::Mistake(format!("{error:#}")));
            let words = format!("{}: {verdict}", mutant.name);
            (
                Judged {
                    mutant,
                    verdict,
                    time: started.elapsed(),
                },
                words,
            )
        }))
    }

    /// How long the killer takes.
    fn on_unbroken(&self, copy: &Tree, killer: &Killer) -> Result<Duration> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = killer.to_string().chars().map(plain).collect();
        let log = self.work.join(format!("log/unbroken-{name}.txt"));
        let Some(built) = killer::build(copy, killer, &log)? else {
            bail!("does not compile; see {}", log.display());
        };
        match killer::run(copy, &built, killer, UNBROKEN_DEADLINE, &log)? {
            Ended::Passed { tests: 0, .. } => bail!("no test's name contains this"),
            Ended::Passed { time, .. } => Ok(time),
            Ended::Failed(what) => bail!("failed: {what}; see {}", log.display()),
            Ended::Hung => bail!("still running after {} s", UNBROKEN_DEADLINE.as_secs()),
        }
    }

    fn on_mutant(&self, copy: &Tree, mutant: &Mutant, allowed: Duration) -> Result<Verdict> {
        let log = self.work.join(format!("log/{}.txt", mutant.name));
        let _applied = copy.apply(mutant)?;
        let Some(built) = killer::build(copy, &mutant.killed_by, &log)? else {
            let text = list::read(&log)?;
            let error = text.lines().find(|line| line.starts_with("error"));
            bail!("does not compile: {}", error.unwrap_or("see its log"));
        };
        ensure!(
            !built.fresh,
            "its killer is not built from the file that it changes"
        );
        Ok(
            match killer::run(copy, &built, &mutant.killed_by, allowed, &log)? {
                Ended::Failed(what) => Verdict::Failed(what),
                Ended::Passed { .. } => Verdict::Survived,
                Ended::Hung if mutant.hangs => Verdict::Hung,
                Ended::Hung => bail!(
                    "still running after {} s; if it hangs, the list must say so (`hangs`)",
                    allowed.as_secs()
                ),
            },
        )
    }
}

/// Does the work in all copies at once, each taking the next piece when it is free, and shows how far it is:
/// a bar on a terminal, elsewhere a line for each piece. The answers are in the order of the pieces.
fn in_copies<T: Sync, A: Send>(
    what: &'static str,
    copies: &[Tree],
    pieces: &[T],
    work: impl Fn(&Tree, &T) -> (A, String) + Sync,
) -> Vec<A> {
    let bar = ProgressBar::new(pieces.len() as u64).with_prefix(what);
    if let Ok(style) =
        ProgressStyle::with_template("{prefix}: [{bar:24}] {pos}/{len}, {elapsed}: {wide_msg}")
    {
        bar.set_style(style);
    }
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::with_capacity(pieces.len()));
    thread::scope(|scope| {
        for copy in copies {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(piece) = pieces.get(index) else {
                        break;
                    };
                    let (answer, words) = work(copy, piece);
                    bar.inc(1);
                    if !io::stderr().is_terminal() {
                        eprintln!("{what} {:>3}/{}  {words}", bar.position(), pieces.len());
                    }
                    bar.set_message(words);
                    answers
                        .lock()
                        .expect("no thread panics with it")
                        .push((index, answer));
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut answers = answers.into_inner().expect("no thread panicked with it");
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests;
