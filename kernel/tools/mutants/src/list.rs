//! The list of mutants: the files in `list/`.
//!
//! Each mutant is a table, `[PROMISE.NAME]`. The promise is `S1` to `S13`, `diagnosis` for what that feature of the
//! crate promises, or `bring-up` for the kernel below it. `file` at the top of a list is that of all its mutants which
//! have none of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The promise of the kernel below the crate: every CPU there is runs, as itself, whatever the firmware
/// says and leaves behind, and whatever fails on one of them.
const BRING_UP: &str = "bring-up";

/// One way to break the crate, or the kernel below it, and the test that must notice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Unique; it also names a log file.
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(skip)]
    pub(crate) promise: String,
    /// The source file, relative to the workspace; if it begins with `src/`, to the crate `rundown`.
    #[serde(default)]
    file: String,
    /// The exact text to replace, which must occur once.
    find: String,
    /// What comes in its place: nothing, unless the list says so.
    #[serde(default)]
    replace: String,
    /// Why the result is wrong: one sentence.
    pub(crate) wrong: String,
    /// The test that must notice.
    pub(crate) killed_by: Killer,
    /// The mutant makes its killer, a test on threads, hang, and that is how it is noticed. Without this, a
    /// killer that does not end is an error: it may only have become slow.
    #[serde(default)]
    pub(crate) hangs: bool,
}

/// A test, or several of the same binary: all whose names contain `test`. A list has it in words, `KIND [BINARY]
/// [+FEATURE] TEST`: `loom loom_close slots_2::a_refusal_is_final`, `unit +std further_threads_count_on`,
/// `guest single_step::smp_2`, `bringup the_fastest_answers_count`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(crate) struct Killer {
    pub(crate) kind: Kind,
    words: String,
    /// The package whose test it is.
    pub(crate) package: String,
    /// `tests/<binary>.rs` or `tests/<binary>/`; none: a unit test in `src/`.
    pub(crate) binary: Option<String>,
    /// The crate's feature besides `std`.
    pub(crate) feature: Option<String>,
    /// What libtest filters by. Of a guest, the scenario and the machine.
    pub(crate) test: String,
}

/// What runs a killer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `guest`: a scenario in the workspace's `tests/`, which boots a guest under seeds.
    Guest,
    /// `monitor`: the same, but QEMU's monitor acts upon the guest at times of the host's, which no seed repeats.
    Monitor,
    /// `loom`: a model of the crate, built with `--cfg rundown_loom`, in release mode.
    Loom,
    /// Threads: `host`, in the crate's `tests/`; `unit`, in the crate; or another package below `kernel/`.
    Threads,
}

impl TryFrom<String> for Killer {
    type Error = anyhow::Error;

    fn try_from(words: String) -> Result<Self> {
        let mut rest: Vec<&str> = words.split_whitespace().collect();
        let feature = rest.iter().position(|word| word.starts_with('+'));
        let feature = feature.map(|at| rest.remove(at)[1..].to_owned());
        let (word, mut binary, test) = match rest[..] {
            [word, test] => (word, None, test),
            [word, binary, test] => (word, Some(binary), test),
            _ => bail!("`{words}` is not `KIND [BINARY] [+FEATURE] TEST`"),
        };
        let (kind, package, has_binary) = match word {
            "guest" => (Kind::Guest, "tests", false),
            "monitor" => (Kind::Monitor, "tests", false),
            "loom" => (Kind::Loom, "rundown", true),
            "host" => (Kind::Threads, "rundown", true),
            "unit" => (Kind::Threads, "rundown", false),
            package => (Kind::Threads, package, binary.is_some()),
        };
        ensure!(binary.is_some() == has_binary, "`{words}` has a word too few or too many");
        if kind.is_boot() {
            // The table of all scenarios.
            binary = Some("guests");
        }
        Ok(Self {
            kind,
            package: package.to_owned(),
            binary: binary.map(str::to_owned),
            feature,
            test: test.to_owned(),
            words,
        })
    }
}

impl fmt::Display for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Kind {
    /// Whether it boots a guest.
    pub(crate) fn is_boot(self) -> bool {
        matches!(self, Self::Guest | Self::Monitor)
    }
}

impl Killer {
    /// Its package's folder.
    pub(crate) fn folder(&self, root: &Path) -> PathBuf {
        let above = if self.kind.is_boot() { "" } else { "kernel" };
        root.join(above).join(&self.package)
    }

    /// Its source, or the folder that this is in, without the extension.
    pub(crate) fn source(&self, root: &Path) -> PathBuf {
        let folder = self.folder(root);
        match &self.binary {
            Some(scenario) if self.kind.is_boot() => folder.join(scenario),
            Some(binary) => folder.join("tests").join(binary),
            None => folder.join("src"),
        }
    }
}

impl Mutant {
    /// Whether it breaks what the crate promises to its users.
    pub(crate) fn is_of_the_crate(&self) -> bool {
        self.promise != BRING_UP
    }

    /// The file it changes, in this workspace.
    pub(crate) fn file(&self, root: &Path) -> PathBuf {
        let crate_s = self.file.starts_with("src/");
        let above = if crate_s { "kernel/rundown" } else { "" };
        root.join(above).join(&self.file)
    }

    /// The source with the replacement made, if the text is there once.
    pub(crate) fn apply(&self, source: &str) -> Result<String> {
        let count = source.matches(&self.find).count();
        ensure!(count == 1, "`find` is in {} {count} times", self.file);
        Ok(source.replacen(&self.find, &self.replace, 1))
    }

    /// Checks all that can be checked without the sources.
    fn check(&self) -> Result<()> {
        let number = self.promise.strip_prefix('S').map(str::parse::<u8>);
        ensure!(
            matches!(number, Some(Ok(1..=13))) || ["diagnosis", BRING_UP].contains(&&*self.promise),
            "its promise is `{}`, not one of S1 to S13, nor `diagnosis` or `{BRING_UP}`",
            self.promise
        );
        ensure!(!self.file.is_empty(), "neither it nor its list has a file");
        ensure!(self.find != self.replace, "it changes nothing");
        // Loom itself reports threads that wait for each other, and a watchdog ends a guest.
        ensure!(
            !self.hangs || self.killed_by.kind == Kind::Threads,
            "a model or a guest that does not end is no kill"
        );
        Ok(())
    }

    /// Whether the sources are still what the list speaks of: the patch applies, and the killer is there.
    pub(crate) fn fits(&self, root: &Path) -> Result<()> {
        self.apply(&read(&self.file(root))?)?;
        let killer = &self.killed_by;
        let name = killer.test.rsplit("::").next().unwrap_or_default();
        // A scenario makes the names of its cases. (That libtest's filter finds it, the run without a mutant shows.)
        let name = if killer.kind.is_boot() { "main" } else { name };
        let source = killer.source(Path::new(""));
        let mut git = Command::new("git");
        git.args(["grep", "--quiet", "--untracked", "-e", &format!("fn {name}")]);
        git.arg("--").args([&source, &source.with_extension("rs")]);
        let found = git.current_dir(root).status()?.success();
        ensure!(found, "its killer is not in {}", source.display());
        Ok(())
    }
}

/// Reads the files of the list below this package's folder.
pub(crate) fn load(package: &Path) -> Result<Vec<Mutant>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(package.join("list"))?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut mutants = Vec::new();
    for file in files {
        mutants.extend(parse(&read(&file)?).with_context(|| format!("in {}", file.display()))?);
    }
    let mut names = BTreeSet::new();
    for Mutant { name, .. } in &mutants {
        ensure!(names.insert(name), "two mutants are called `{name}`");
    }
    Ok(mutants)
}

/// One file of a list, from its text.
pub(crate) fn parse(text: &str) -> Result<Vec<Mutant>> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        file: String,
        #[serde(flatten)]
        promises: BTreeMap<String, BTreeMap<String, Mutant>>,
    }
    let List { file, promises } = toml::from_str(text)?;
    let mut mutants = Vec::new();
    for (promise, named) in promises {
        for (name, mut mutant) in named {
            (mutant.name, mutant.promise) = (name, promise.clone());
            if mutant.file.is_empty() {
                mutant.file.clone_from(&file);
            }
            let checked = mutant.check();
            checked.with_context(|| format!("mutant `{}`", mutant.name))?;
            mutants.push(mutant);
        }
    }
    Ok(mutants)
}

/// All that no longer fits these sources, a line each.
pub(crate) fn complaints(mutants: &[Mutant], root: &Path) -> String {
    let fits = mutants.iter().map(|mutant| (mutant, mutant.fits(root)));
    fits.filter_map(|(mutant, fits)| Some(format!("`{}`: {:#}\n", mutant.name, fits.err()?)))
        .collect()
}

pub(crate) fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_list_says_why() {
        const ONE: &str = r#"
            file = "src/lib.rs"
            [S1.a-1]
            find = "1"
            replace = "2"
            wrong = "It is."
            killed_by = "host b t"
        "#;
        let good = parse(ONE).expect("a list");
        for (source, count) in [("0 1", 1), ("0", 0), ("1 1", 2)] {
            match good[0].apply(source) {
                Ok(applied) => assert_eq!((applied.as_str(), count), ("0 2", 1)),
                Err(error) => assert!(error.to_string().contains(&format!("{count} times"))),
            }
        }
        for (from, to, why) in [
            ("S1", "S14", "S1 to S13"),
            ("file = \"src/lib.rs\"", "", "has a file"),
            ("\"2\"", "\"1\"", "changes nothing"),
            ("host b t", "host", "is not `KIND"),
            ("host b t", "unit b t", "too many"),
            ("host b t", "loom +f t", "too few"),
            ("replace", "replaces", "replaces"),
            ("host b t\"", "loom b t\"\nhangs = true", "is no kill"),
        ] {
            let error = parse(&ONE.replace(from, to)).expect_err(to);
            assert!(format!("{error:#}").contains(why), "{to}: {error:#}");
        }
    }

    #[test]
    fn every_mutant_applies_and_every_killer_exists() {
        let mutants = load(&crate::package()).expect("the list");
        assert_eq!(complaints(&mutants, &crate::root()), "");
    }
}
