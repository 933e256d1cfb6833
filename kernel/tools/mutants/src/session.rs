//! A run: first every killer on the crate as it is, then on one mutant at a time.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::killer::{self, Ended};
use crate::list::{Killer, Mutant};
use crate::place::Place;
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::verdict::{Judged, Verdict};

/// How long a killer may take on the crate as it is. The slowest model takes seconds.
const UNBROKEN_DEADLINE: Duration = Duration::from_secs(600);

/// On a mutant a killer may take this many times what it took without, and some slack.
const FACTOR: u32 = 10;

/// The slack: the machine may have become busy in between.
pub(crate) const SLACK: Duration = Duration::from_secs(15);

/// Runs the mutants: those of the crate in this many copies of it at once, then those that need the whole
/// workspace one by one, since most boot a kernel, and each boot takes the whole machine. The answer is in that order, and else
/// in that of the list.
///
/// # Errors
/// If some killer fails on the sources as they are, or there is no test of that name: then nothing
/// that it did on a mutant would mean anything.
pub(crate) fn run<'a>(
    place: &Place,
    mutants: &[&'a Mutant],
    jobs: usize,
    slack: Duration,
) -> Result<Vec<Judged<'a>>> {
    fs::create_dir_all(place.logs())?;
    let (whole, others): (Vec<&Mutant>, Vec<&Mutant>) = mutants
        .iter()
        .partition(|mutant: &&&Mutant| mutant.killed_by.needs_workspace());
    let mut judged = Vec::new();
    if !others.is_empty() {
        let copies = (0..jobs.max(1)).map(|number| Scratch::ready(place, number));
        let copies: Vec<Scratch> = copies.collect::<Result<_>>()?;
        judged.extend(judge(place, &copies, &others, slack)?);
    }
    if !whole.is_empty() {
        let copy = Scratch::whole(place)?;
        judged.extend(judge(place, &[copy], &whole, slack)?);
    }
    Ok(judged)
}

/// As [`run`], in these copies.
fn judge<'a>(
    place: &Place,
    copies: &[Scratch],
    mutants: &[&'a Mutant],
    slack: Duration,
) -> Result<Vec<Judged<'a>>> {
    let mut killers: Vec<&Killer> = mutants.iter().map(|mutant| &mutant.killed_by).collect();
    killers.sort();
    killers.dedup();
    let progress = Progress::new("killers, nothing broken", killers.len());
    let times = in_copies(copies, &killers, |copy, &killer| {
        progress.begin(&killer.to_string());
        let time = on_unbroken(place, copy, killer);
        let word = match &time {
            Ok(time) => format!("passes in {:.2} s", time.as_secs_f64()),
            Err(_) => "ERROR".into(),
        };
        progress.end(&killer.to_string(), &word);
        time
    });
    progress.finish();
    let mut allowed = BTreeMap::new();
    let mut complaints = Vec::new();
    for (killer, time) in killers.iter().zip(times) {
        match time {
            Ok(time) => drop(allowed.insert(*killer, slack + time * FACTOR)),
            Err(error) => complaints.push(format!("{killer}: {error:#}")),
        }
    }
    if !complaints.is_empty() {
        bail!(
            "killers that do not pass on the crate as it is:\n{}",
            complaints.join("\n")
        );
    }

    let progress = Progress::new("mutants", mutants.len());
    // Those that will hang first: the others are done meanwhile.
    let mut pieces: Vec<(usize, &Mutant)> = mutants.iter().copied().enumerate().collect();
    pieces.sort_by_key(|(_, mutant)| !mutant.hangs);
    let mut judged = in_copies(copies, &pieces, |copy, &(place_in_list, mutant)| {
        progress.begin(&mutant.name);
        let started = Instant::now();
        let verdict = on_mutant(place, copy, mutant, allowed[&mutant.killed_by])
            .unwrap_or_else(|error| Verdict::Mistake(format!("{error:#}")));
        progress.end(&mutant.name, &verdict.to_string());
        let time = started.elapsed();
        let one = Judged {
            mutant,
            verdict,
            time,
        };
        (place_in_list, one)
    });
    progress.finish();
    judged.sort_by_key(|(place_in_list, _)| *place_in_list);
    Ok(judged.into_iter().map(|(_, one)| one).collect())
}

/// Does the work in all copies at once, each taking the next piece when it is free. The answers are
/// in the order of the pieces.
fn in_copies<T: Sync, A: Send>(
    copies: &[Scratch],
    pieces: &[T],
    work: impl Fn(&Scratch, &T) -> A + Sync,
) -> Vec<A> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::with_capacity(pieces.len()));
    thread::scope(|scope| {
        for copy in copies {
            scope.spawn(|| {
                while let Some((index, piece)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    pieces.get(index).map(|piece| (index, piece))
                } {
                    let answer = work(copy, piece);
                    if let Ok(mut answers) = answers.lock() {
                        answers.push((index, answer));
                    }
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_default();
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// How long the killer takes.
fn on_unbroken(place: &Place, copy: &Scratch, killer: &Killer) -> Result<Duration> {
    let name: String = killer
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let log = place.logs().join(format!("unbroken-{name}.txt"));
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

fn on_mutant(place: &Place, copy: &Scratch, mutant: &Mutant, allowed: Duration) -> Result<Verdict> {
    let killer = &mutant.killed_by;
    let log = place.logs().join(format!("{}.txt", mutant.name));
    let applied = copy.apply(mutant)?;
    let Some(built) = killer::build(copy, killer, &log)? else {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let error = text.lines().find(|line| line.starts_with("error"));
        let error = error.unwrap_or("see its log");
        return Ok(Verdict::Mistake(format!("does not compile: {error}")));
    };
    if built.fresh {
        bail!(
            "{} is not part of what its killer is built from",
            mutant.file
        );
    }
    let ended = killer::run(copy, &built, killer, allowed, &log)?;
    drop(applied);
    Ok(match ended {
        Ended::Failed(what) => Verdict::Failed(what),
        Ended::Passed { .. } => Verdict::Survived,
        Ended::Hung if mutant.hangs => Verdict::Hung,
        Ended::Hung => Verdict::Mistake(format!(
            "still running after {} s; if it hangs, the list must say so (`hangs`)",
            allowed.as_secs()
        )),
    })
}

/// One run of this program at a time works in a folder. The lock ends with the returned file.
pub(crate) fn lock(place: &Place) -> Result<fs::File> {
    fs::create_dir_all(&place.work)?;
    let file = fs::File::create(place.work.join("lock"))?;
    file.try_lock()
        .with_context(|| format!("another run is at work in {}", place.work.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list;

    /// A crate with the name of the real one, and a test for each way to end.
    const SOURCE: &str = "
        pub fn one() -> u64 { 1 }
        pub fn two() -> u64 { 2 }
        #[cfg(rundown_loom)]
        pub fn three() -> u64 { 3 }
        pub fn done() -> bool { true }
        #[cfg(test)]
        mod tests {
            #[test]
            fn one() { assert_eq!(super::one(), 1); }
        }
    ";

    const TESTS: &str = "
        #[test]
        fn two() { assert!(rundown::two() > 0); }
        #[test]
        fn done() { while !rundown::done() {} }
        #[cfg(rundown_loom)]
        #[test]
        fn three() { assert_eq!(rundown::three(), 3); }
    ";

    const LIST: &str = r#"
        [[mutant]]
        name = "failing"
        file = "src/lib.rs"
        find = "{ 1 }"
        replace = "{ 0 }"
        wrong = "One is not zero."
        promise = "S1"
        killed_by = { kind = "unit", test = "one" }

        [[mutant]]
        name = "failing-model"
        file = "src/lib.rs"
        find = "{ 3 }"
        replace = "{ 4 }"
        wrong = "Three is not four."
        promise = "S1"
        killed_by = { kind = "loom", binary = "all", test = "three" }

        [[mutant]]
        name = "hanging"
        file = "src/lib.rs"
        find = "{ true }"
        replace = "{ false }"
        wrong = "It is never done."
        promise = "S1"
        hangs = true
        killed_by = { kind = "host", binary = "all", test = "done" }

        [[mutant]]
        name = "surviving"
        file = "src/lib.rs"
        find = "{ 2 }"
        replace = "{ 3 }"
        wrong = "Two is not three."
        promise = "S1"
        killed_by = { kind = "host", binary = "all", test = "two" }

        [[mutant]]
        name = "no-rust"
        file = "src/lib.rs"
        find = "{ 2 }"
        replace = "{ }"
        wrong = "It is not even a program."
        promise = "S1"
        killed_by = { kind = "host", binary = "all", test = "two" }

        [[mutant]]
        name = "outdated"
        file = "src/lib.rs"
        find = "{ 5 }"
        replace = "{ 6 }"
        wrong = "There is no five."
        promise = "S1"
        killed_by = { kind = "host", binary = "all", test = "two" }
    "#;

    /// Slack for tests that take no time.
    const SHORT: Duration = Duration::from_secs(3);

    fn toy() -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place {
            root: folder.path().join("real"),
            member: "crate".into(),
            work: folder.path().join("work"),
        };
        let manifest = "[package]\nname = \"rundown\"\nedition.workspace = true\n\
                        [features]\nloom = []";
        let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"crate\"]\n\
                         [workspace.package]\nedition = \"2024\"";
        for (file, text) in [
            ("Cargo.toml", workspace),
            ("crate/Cargo.toml", manifest),
            ("crate/src/lib.rs", SOURCE),
            ("crate/tests/all.rs", TESTS),
        ] {
            let file = place.root.join(file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("created");
            fs::write(file, text).expect("written");
        }
        (folder, place)
    }

    #[test]
    fn each_end_is_told_from_the_others() {
        let (_folder, place) = toy();
        let list = list::parse(LIST).expect("a list");
        // Those that end do so in their own time, on a busy host, too.
        let (hanging, ending): (Vec<&Mutant>, Vec<&Mutant>) = list.iter().partition(|m| m.hangs);
        let mut judged = run(&place, &ending, 2, SLACK).expect("all killers pass");
        judged.extend(run(&place, &hanging, 1, SHORT).expect("its killer passes"));
        let verdicts: Vec<String> = judged.iter().map(|one| one.verdict.to_string()).collect();
        let expected = [
            "killed (failed): tests::one",
            "killed (failed): three",
            "SURVIVED",
            "ERROR: does not compile: error",
            "ERROR: the mutant no longer applies: src/lib.rs: `find` is not in the file",
            "killed (hung)",
        ];
        assert_eq!(verdicts.len(), expected.len());
        for (verdict, expected) in verdicts.iter().zip(expected) {
            assert!(verdict.starts_with(expected), "{verdict}\nnot {expected}");
        }
        let source = fs::read_to_string(place.package().join("src/lib.rs")).expect("a file");
        assert_eq!(source, SOURCE, "the original was touched");
    }

    #[test]
    fn killers_that_prove_nothing_are_refused() {
        let (_folder, place) = toy();
        let mut list = list::parse(LIST).expect("a list");
        list[3].killed_by = Killer::Host {
            binary: "all".into(),
            test: "three".into(),
            features: Vec::new(),
        };
        let error = run(&place, &[&list[3]], 1, SHORT).expect_err("there is no such test");
        assert!(format!("{error:#}").contains("no test's name"), "{error:#}");

        let tests = place.package().join("tests/all.rs");
        fs::write(tests, TESTS.replace("> 0", "> 2")).expect("written");
        let error = run(&place, &[&list[4]], 1, SHORT).expect_err("the killer fails anyway");
        assert!(format!("{error:#}").contains("failed: two"), "{error:#}");
    }
}
