//! The list of mutants: the files in `list/`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The promise of the kernel below the crate: every CPU there is runs, as itself, whatever the firmware
/// says and leaves behind, and whatever fails on one of them.
const BRING_UP: &str = "bring-up";

/// Where the crate `rundown` is in the workspace.
pub(crate) const CRATE: &str = "kernel/rundown";

/// One way to break the crate, or the kernel below it, and the test that must notice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Unique; lower case, digits and `-`, as it also names a log file.
    pub(crate) name: String,
    /// The source file, relative to the crate; if the killer is a guest or another package's test, to the
    /// workspace.
    file: String,
    /// The exact text to replace. Must occur once, unless `nth` says which occurrence is meant.
    find: String,
    /// What comes in its place.
    replace: String,
    /// Which occurrence of `find`, from 1, if there are several.
    nth: Option<NonZeroUsize>,
    /// Why the result is wrong: one sentence.
    pub(crate) wrong: String,
    /// The promise it breaks: `S1` to `S13`; what the feature `diagnosis` promises; or [`BRING_UP`].
    pub(crate) promise: String,
    /// The test that must notice.
    pub(crate) killed_by: Killer,
    /// The mutant makes its killer hang, and that is how it is noticed. Without this, a killer that
    /// does not end is an error: it may only have become slow.
    #[serde(default)]
    pub(crate) hangs: bool,
}

/// A test, or several of the same binary: all whose names contain `test`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub(crate) struct Killer {
    pub(crate) kind: Kind,
    /// Of a test of another package, below `kernel/`: its name.
    package: Option<String>,
    /// `tests/<binary>.rs` or `tests/<binary>/`; none: a unit test in `src/`.
    binary: Option<String>,
    /// What libtest filters by. Of a guest, the scenario and the machine: `single_step::smp_2`.
    pub(crate) test: String,
    /// The crate's features besides `std`.
    #[serde(default)]
    pub(crate) features: Vec<String>,
}

/// Where a killer is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A model of the crate: built with `--cfg rundown_loom`, in release mode.
    Loom,
    /// A test of the crate on threads, in its `tests/`.
    Host,
    /// A unit test of the crate.
    Unit,
    /// A test of another package.
    Package,
    /// A scenario in the table of the workspace's `tests/guests.rs`: boots the guest with it.
    Guest,
}

impl Mutant {
    /// Whether it breaks what the crate promises to its users.
    pub(crate) fn is_of_the_crate(&self) -> bool {
        self.promise != BRING_UP
    }

    /// The file it changes, in this workspace.
    pub(crate) fn file(&self, root: &Path) -> PathBuf {
        match self.killed_by.kind {
            Kind::Guest | Kind::Package => root.join(&self.file),
            _ => root.join(CRATE).join(&self.file),
        }
    }

    /// The source with the replacement made.
    ///
    /// # Errors
    /// If the text is not there, or is there more than once and `nth` does not say which is meant.
    pub(crate) fn apply(&self, source: &str) -> Result<String> {
        let places: Vec<usize> = source.match_indices(&self.find).map(|(at, _)| at).collect();
        let count = places.len();
        let nth = match (count, self.nth) {
            (0, _) => bail!("`find` is not in {}", self.file),
            (1, None) => 0,
            (_, None) => bail!(
                "`find` is in {} {count} times: make it longer, or say `nth`",
                self.file
            ),
            (_, Some(nth)) => nth.get() - 1,
        };
        let Some(&at) = places.get(nth) else {
            bail!(
                "`nth` is {}, but `find` is in {} {count} times",
                nth + 1,
                self.file
            )
        };
        let (before, rest) = source.split_at(at);
        Ok([before, &self.replace, &rest[self.find.len()..]].concat())
    }

    /// Checks all that can be checked without the sources.
    fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !self.name.is_empty() && self.name.chars().all(plain),
            "its name is not made of lower-case letters, digits and `-`"
        );
        let number = self.promise.strip_prefix('S').map(str::parse::<u8>);
        ensure!(
            matches!(number, Some(Ok(1..=13))) || ["diagnosis", BRING_UP].contains(&&*self.promise),
            "its promise is `{}`, not one of S1 to S13, nor `diagnosis` or `{BRING_UP}`",
            self.promise
        );
        ensure!(
            self.find != self.replace && !self.find.trim().is_empty(),
            "`find` and `replace` change nothing"
        );
        ensure!(
            self.wrong.ends_with('.') && !self.wrong.contains('\n'),
            "`wrong` is not one sentence on one line"
        );
        // Loom itself reports threads that wait for each other; a search without end proves nothing.
        ensure!(
            !(self.hangs && self.killed_by.kind == Kind::Loom),
            "a loom model that does not end is no kill"
        );
        let killer = &self.killed_by;
        ensure!(!killer.test.trim().is_empty(), "its killer names no test");
        let (package, binary) = (killer.package.is_some(), killer.binary.is_some());
        let complete = match killer.kind {
            Kind::Loom | Kind::Host => binary && !package,
            Kind::Unit => !binary && !package,
            Kind::Package => package,
            Kind::Guest => !binary && !package && killer.test.contains("::"),
        };
        ensure!(
            complete,
            "its killer lacks a field, or has one too many, for its kind"
        );
        Ok(())
    }

    /// Whether the sources are still what the list speaks of: the patch applies, and the killer is there.
    pub(crate) fn fits(&self, root: &Path) -> Result<()> {
        self.apply(&read(&self.file(root))?)?;
        let folder = self.killed_by.folder(root);
        let (place, mark) = match (self.killed_by.kind, self.killed_by.binary()) {
            (Kind::Guest, _) => (folder.join("guests.rs"), self.killed_by.scenario()),
            (_, Some(binary)) => (folder.join("tests").join(binary), self.killed_by.function()),
            (_, None) => (folder.join("src"), self.killed_by.function()),
        };
        let place = if place.exists() {
            place
        } else {
            place.with_extension("rs")
        };
        ensure!(
            contains(&place, &mark)?,
            "its killer `{}` is not in {}",
            mark,
            place.display()
        );
        Ok(())
    }
}

impl Killer {
    /// The package whose test it is.
    pub(crate) fn package(&self) -> &str {
        match self.kind {
            Kind::Guest => "tests",
            _ => self.package.as_deref().unwrap_or("rundown"),
        }
    }

    /// That package's folder.
    pub(crate) fn folder(&self, root: &Path) -> PathBuf {
        match self.kind {
            Kind::Guest => root.join("tests"),
            _ => root.join("kernel").join(self.package()),
        }
    }

    /// The name of the test binary; `None`: that of the library itself.
    pub(crate) fn binary(&self) -> Option<&str> {
        match self.kind {
            Kind::Guest => Some("guests"),
            _ => self.binary.as_deref(),
        }
    }

    /// In a word; of another package's test, that is the package.
    pub(crate) fn word(&self) -> &str {
        match self.kind {
            Kind::Loom => "loom",
            Kind::Host => "host",
            Kind::Unit => "unit",
            Kind::Package => self.package(),
            Kind::Guest => "guest",
        }
    }

    /// Of a guest: its row in the table.
    fn scenario(&self) -> String {
        format!(
            "(\"{}\", ",
            self.test.split("::").next().unwrap_or(&self.test)
        )
    }

    /// How its function begins in the source. (That the filter finds it, the run without a mutant shows.)
    fn function(&self) -> String {
        format!("fn {}", self.test.rsplit("::").next().unwrap_or(&self.test))
    }
}

/// `loom loom_close slots_2::a_refusal_is_final`, `unit +diagnosis the_generation_wraps`.
impl fmt::Display for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        if let Some(binary) = &self.binary {
            write!(f, " {binary}")?;
        }
        for feature in &self.features {
            write!(f, " +{feature}")?;
        }
        write!(f, " {}", self.test)
    }
}

/// Reads the files of the list below this package's folder.
pub(crate) fn load(package: &Path) -> Result<Vec<Mutant>> {
    let folder = package.join("list");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut mutants = Vec::new();
    for file in files {
        mutants.extend(parse(&read(&file)?).with_context(|| format!("in {}", file.display()))?);
    }
    let mut names = BTreeSet::new();
    for mutant in &mutants {
        ensure!(
            names.insert(&mutant.name),
            "two mutants are called `{}`",
            mutant.name
        );
    }
    Ok(mutants)
}

/// One file of a list, from its text.
pub(crate) fn parse(text: &str) -> Result<Vec<Mutant>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        mutant: Vec<Mutant>,
    }
    let list: List = toml::from_str(text)?;
    for mutant in &list.mutant {
        mutant
            .check()
            .with_context(|| format!("mutant `{}`", mutant.name))?;
    }
    Ok(list.mutant)
}

/// All that no longer fits these sources, a line each.
pub(crate) fn complaints(mutants: &[Mutant], root: &Path) -> Vec<String> {
    let fits = mutants.iter().map(|mutant| (mutant, mutant.fits(root)));
    fits.filter_map(|(mutant, fits)| Some(format!("`{}`: {:#}", mutant.name, fits.err()?)))
        .collect()
}

pub(crate) fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// Whether a file, or one of those below a folder, contains the text.
fn contains(place: &Path, text: &str) -> Result<bool> {
    if !place.is_dir() {
        return Ok(read(place)?.contains(text));
    }
    for entry in fs::read_dir(place)? {
        if contains(&entry?.path(), text)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"
        [[mutant]]
        name = "a-1"
        file = "src/lib.rs"
        find = "1"
        replace = "2"
        wrong = "It is."
        promise = "S1"
        killed_by = { kind = "host", binary = "b", test = "t" }
    "#;

    /// A list of one mutant, with a part of it replaced.
    fn list(from: &str, to: &str) -> Result<Vec<Mutant>> {
        assert!(ONE.contains(from));
        parse(&ONE.replace(from, to))
    }

    #[test]
    fn killers_of_every_kind_are_read() {
        let host = r#"{ kind = "host", binary = "b", test = "t" }"#;
        for (killer, shown, package) in [
            (host, "host b t", "rundown"),
            (
                r#"{ kind = "unit", test = "t", features = ["f", "g"] }"#,
                "unit +f +g t",
                "rundown",
            ),
            (
                r#"{ kind = "guest", test = "scenario::smp_2" }"#,
                "guest scenario::smp_2",
                "tests",
            ),
            (
                r#"{ kind = "package", package = "bringup", test = "t" }"#,
                "bringup t",
                "bringup",
            ),
        ] {
            let killer = &list(host, killer).expect("a list")[0].killed_by;
            assert_eq!(
                (killer.to_string().as_str(), killer.package()),
                (shown, package)
            );
        }
    }

    #[test]
    fn a_faulty_list_says_why() {
        for (from, to, why) in [
            ("a-1", "A", "lower-case"),
            ("S1", "S14", "S1 to S13"),
            ("S1", "1", "S1 to S13"),
            ("\"2\"", "\"1\"", "change nothing"),
            ("It is.", "It is", "one sentence"),
            ("\"t\"", "\" \"", "names no test"),
            ("\"host\"", "\"ghost\"", "ghost"),
            ("\"host\"", "\"unit\"", "one too many"),
            ("binary = \"b\", ", "", "lacks a field"),
            ("promise", "promises", "promises"),
            (
                "killed_by = { kind = \"host\"",
                "hangs = true\nkilled_by = { kind = \"loom\"",
                "no kill",
            ),
        ] {
            let error = format!("{:#}", list(from, to).expect_err(to));
            assert!(error.contains(why), "{to}: {error}");
        }
    }

    #[test]
    fn a_patch_replaces_one_place_or_says_why_not() {
        let apply = |find: &str, nth: &str| {
            let find = format!("find = \"{find}\"\n{nth}");
            list("find = \"1\"", &find).expect("a list")[0].apply("b a c a")
        };
        assert_eq!(apply("b", "").expect("once"), "2 a c a");
        assert_eq!(apply("a", "nth = 2").expect("the second"), "b a c 2");
        for (find, nth, why) in [
            ("d", "", "not in"),
            ("a", "", "2 times"),
            ("a", "nth = 3", "`nth` is 3"),
        ] {
            let error = apply(find, nth).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn every_mutant_applies_and_every_killer_exists() {
        let mutants = load(&crate::package()).expect("the list");
        let complaints = complaints(&mutants, &crate::root());
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}
