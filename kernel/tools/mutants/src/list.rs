//! The list of mutants: the files in `list/`, and the table in docs/mutants.md.
//!
//! Each mutant is a table, `[PROMISE.NAME]`, with the fields of [`Mutant`]. The promise is `S1` to
//! `S13`, `diagnosis` for that feature of the crate, or `bring-up` for the kernel below it. A field
//! at the top of a list is that of all its mutants which have none of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use toml::{Table, Value};

use crate::tree::git;

/// The promise of the kernel below the crate: every CPU there is runs, as itself, whatever the
/// firmware says and leaves behind, and whatever fails on one of them.
const BRING_UP: &str = "bring-up";

/// One way to break the crate, or the kernel below it, and the test that must notice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Unique; it also names a log file.
    pub(crate) name: String,
    pub(crate) promise: String,
    /// The source file, relative to the workspace; `src/...`: to the crate `rundown`.
    file: String,
    /// The exact text to replace, which must occur once.
    find: String,
    /// Its replacement: nothing, unless the list says so.
    #[serde(default)]
    replace: String,
    /// Why the result is wrong: one sentence.
    wrong: String,
    /// The test that must notice.
    pub(crate) killed_by: Killer,
    /// The mutant makes its killer, a test on threads, hang, and that is how it is noticed. Without
    /// this, a killer that does not end is an error: it may only have become slow. (Loom itself
    /// reports threads that wait for each other, and a watchdog ends a guest.)
    #[serde(default)]
    pub(crate) hangs: bool,
}

/// A test, or several of the same binary: all whose names contain `test`. A list has it in words,
/// `KIND [BINARY] [+FEATURE] TEST`: `loom loom_close slots_2::a_refusal_is_final`,
/// `unit +std further_threads_count_on`, `guest single_step::smp_2`,
/// `bringup the_fastest_answers_count`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(crate) struct Killer {
    pub(crate) kind: Runner,
    pub(crate) words: String,
    /// The folder of the package whose test it is.
    pub(crate) folder: String,
    /// `tests/<binary>.rs` or `tests/<binary>/`; none: a unit test in `src/`.
    pub(crate) binary: Option<String>,
    /// Its source, or the folder that this is in, without the extension.
    pub(crate) source: String,
    /// The crate's feature besides `std`.
    pub(crate) feature: Option<String>,
    /// The filter for libtest. Of a guest, the scenario and the machine.
    pub(crate) test: String,
}

/// The runner of a killer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runner {
    /// `guest`: a scenario in the workspace's `tests/`, which boots a guest under seeds.
    Guest,
    /// `monitor`: the same, but QEMU's monitor acts on the guest in the host's time: no seed repeats.
    Monitor,
    /// `loom`: a model of the crate, built with `--cfg rundown_loom`, in release mode.
    Loom,
    /// Threads: `host`, in the crate's `tests/`; `unit`, in the crate itself; or a package below `kernel/`.
    Threads,
}

impl TryFrom<String> for Killer {
    type Error = anyhow::Error;

    fn try_from(words: String) -> Result<Self> {
        let (features, rest): (Vec<&str>, Vec<&str>) =
            words.split_whitespace().partition(|word| word.starts_with('+'));
        let (kind, package, binary, test) = match rest[..] {
            ["guest", test] => (Runner::Guest, "tests", Some("guests"), test),
            ["monitor", test] => (Runner::Monitor, "tests", Some("guests"), test),
            ["loom", binary, test] => (Runner::Loom, "rundown", Some(binary), test),
            ["host", binary, test] => (Runner::Threads, "rundown", Some(binary), test),
            ["unit", test] => (Runner::Threads, "rundown", None, test),
            ["guest" | "monitor" | "loom" | "host" | "unit", ..] => {
                bail!("`{words}` has a word too few or too many")
            }
            [package, test] => (Runner::Threads, package, None, test),
            [package, binary, test] => (Runner::Threads, package, Some(binary), test),
            _ => bail!("`{words}` is not `KIND [BINARY] [+FEATURE] TEST`"),
        };
        let folder = if kind.boots() { package.to_owned() } else { format!("kernel/{package}") };
        let source = match binary {
            // The table of all scenarios.
            Some(table) if kind.boots() => format!("{folder}/{table}"),
            Some(binary) => format!("{folder}/tests/{binary}"),
            None => format!("{folder}/src"),
        };
        let feature = features.first().map(|feature| feature[1..].to_owned());
        let (binary, test) = (binary.map(str::to_owned), test.to_owned());
        Ok(Self { kind, folder, binary, source, feature, test, words })
    }
}

impl Runner {
    /// Whether it boots a guest.
    pub(crate) fn boots(self) -> bool {
        matches!(self, Self::Guest | Self::Monitor)
    }
}

impl Mutant {
    /// The file it changes, in this workspace.
    pub(crate) fn file(&self, root: &Path) -> PathBuf {
        let above = if self.file.starts_with("src/") { "kernel/rundown" } else { "" };
        root.join(above).join(&self.file)
    }

    /// The source with the replacement made, if the text is there once.
    pub(crate) fn apply(&self, source: &str) -> Result<String> {
        let count = source.matches(&self.find).count();
        ensure!(count == 1, "`find` is in {} {count} times", self.file);
        Ok(source.replacen(&self.find, &self.replace, 1))
    }

    /// Whether the sources still match the list: the patch applies, and the killer is there.
    fn fits(&self, root: &Path) -> Result<()> {
        self.apply(&read(&self.file(root))?)?;
        let Killer { kind, test, source, .. } = &self.killed_by;
        // Scenarios name cases. (The run without a mutant shows that libtest's filter finds it.)
        let name = if kind.boots() { "main" } else { test.rsplit("::").next().unwrap_or_default() };
        let pattern = format!("fn {name}");
        let files = [source, &*format!("{source}.rs")];
        let found =
            git(root, &[&["grep", "--untracked", "-e", &pattern, "--"], &files[..]].concat());
        found.map(drop).with_context(|| format!("its killer is not in {source}"))
    }

    /// Its row of the table in docs/mutants.md, if it breaks what the crate promises to its users.
    fn row(&self) -> Option<String> {
        let Self { name, promise, killed_by: Killer { words, .. }, .. } = self;
        let wrong = self.wrong.replace('|', "\\|");
        (promise != BRING_UP).then(|| format!("| `{name}` | {wrong} | {promise} | {words} |\n"))
    }
}

/// Reads the files of the list below this package's folder.
pub(crate) fn load(package: &Path) -> Result<Vec<Mutant>> {
    let files = fs::read_dir(package.join("list"))?.flatten().map(|entry| entry.path());
    let mut mutants = Vec::new();
    for file in BTreeSet::from_iter(files) {
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
    let list: BTreeMap<String, Value> = toml::from_str(text)?;
    let (mut shared, mut mutants) = (Table::new(), Vec::new());
    for (promise, value) in list {
        let Value::Table(named) = value else {
            shared.insert(promise, value);
            continue;
        };
        mutants.extend(named.into_iter().map(|(name, fields)| (promise.clone(), name, fields)));
    }
    let complete = |(promise, name, own): (String, String, Value)| {
        let number = promise.strip_prefix('S').map(str::parse::<u8>);
        ensure!(
            matches!(number, Some(Ok(1..=13))) || ["diagnosis", BRING_UP].contains(&&*promise),
            "`{promise}` is not one of S1 to S13, nor `diagnosis` or `{BRING_UP}`"
        );
        let context = format!("mutant `{name}`");
        let mut fields = shared.clone();
        fields.extend([("name".to_owned(), name.into()), ("promise".to_owned(), promise.into())]);
        fields.extend(own.try_into::<Table>()?);
        fields.try_into().context(context)
    };
    mutants.into_iter().map(complete).collect()
}

/// All that no longer fits these sources, a line each.
pub(crate) fn complaints(mutants: &[Mutant], root: &Path) -> String {
    let fits = mutants.iter().map(|mutant| (mutant, mutant.fits(root)));
    fits.filter_map(|(mutant, fits)| Some(format!("`{}`: {:#}\n", mutant.name, fits.err()?)))
        .collect()
}

/// The page with the table, as it is and as it is to be.
pub(crate) fn page(file: &Path, mutants: &[Mutant]) -> Result<(String, String)> {
    const BEGIN: &str = "<!-- mutants: begin -->\n";
    const END: &str = "<!-- mutants: end -->";
    let old = read(file)?;
    let missing = "the page lacks its two marks, each on a line of its own";
    let (before, rest) = old.split_once(BEGIN).context(missing)?;
    let (_, after) = rest.split_once(END).context(missing)?;
    let rows: String = mutants.iter().filter_map(Mutant::row).collect();
    let head = "| mutant | what is wrong with it | breaks | killed by |\n|---|---|---|---|\n";
    let new = [before, BEGIN, head, &rows, END, after].concat();
    Ok((old, new))
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
            ("file = \"src/lib.rs\"", "", "`file`"),
            ("host b t", "host", "too few"),
            ("host b t", "rundown", "is not `KIND"),
            ("host b t", "unit b t", "too many"),
            ("replace", "replaces", "replaces"),
        ] {
            let error = parse(&ONE.replace(from, to)).expect_err(to);
            assert!(format!("{error:#}").contains(why), "{to}: {error:#}");
        }
    }
}
