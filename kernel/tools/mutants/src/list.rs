//! The list of mutants: the files in `list/`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::patch::Patch;

mod sources;

pub(crate) use sources::complaints;

/// One way to break the crate, or the kernel below it, and the test that must notice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Unique; lower case, digits and `-`, as it also names a log file.
    pub(crate) name: String,
    /// The source file, relative to the crate; if the killer is a guest or another package's test, to the
    /// workspace.
    pub(crate) file: String,
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
    /// Who must notice.
    pub(crate) killed_by: Killer,
    /// The mutant makes its killer hang, and that is how it is noticed. Without this, a killer that
    /// does not end is an error: it may only have become slow.
    #[serde(default)]
    pub(crate) hangs: bool,
}

/// The promise that the kernel below makes: all CPUs that there are run, each as itself, whatever the firmware
/// says and leaves behind, and whatever goes wrong with one of them.
const BRING_UP: &str = "bring-up";

impl Mutant {
    /// Whether it breaks what the crate promises to its users.
    pub(crate) fn is_of_the_crate(&self) -> bool {
        self.promise != BRING_UP
    }

    pub(crate) fn patch(&self) -> Patch<'_> {
        Patch {
            find: &self.find,
            replace: &self.replace,
            nth: self.nth,
        }
    }
}

/// A test, or several of the same binary: all whose names contain `test`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Killer {
    /// A model in `tests/<binary>.rs`, built with `--cfg rundown_loom`, in release mode.
    Loom { binary: String, test: String },
    /// An integration test in `tests/<binary>.rs` or `tests/<binary>/`, built with these features of
    /// the crate besides `std`.
    Host {
        binary: String,
        test: String,
        #[serde(default)]
        features: Vec<String>,
    },
    /// A unit test in `src/`. Features as for `Host`.
    Unit {
        test: String,
        #[serde(default)]
        features: Vec<String>,
    },
    /// A test of another package of the workspace, below `kernel/`: in its `tests/<binary>.rs` or, without
    /// `binary`, in its `src/`.
    Package {
        package: String,
        #[serde(default)]
        binary: Option<String>,
        test: String,
    },
    /// A scenario in the workspace's `tests/`: boots the guest of its name. `test` is the scenario and
    /// the machine, `single_step::smp_2`.
    Guest { test: String },
}

impl Killer {
    /// What libtest filters by.
    pub(crate) fn filter(&self) -> &str {
        match self {
            Self::Loom { test, .. }
            | Self::Host { test, .. }
            | Self::Unit { test, .. }
            | Self::Package { test, .. }
            | Self::Guest { test } => test,
        }
    }

    /// The name of the test binary; `None`: that of the library itself.
    pub(crate) fn binary(&self) -> Option<&str> {
        match self {
            Self::Loom { binary, .. } | Self::Host { binary, .. } => Some(binary),
            Self::Unit { .. } => None,
            Self::Package { binary, .. } => binary.as_deref(),
            Self::Guest { test } => test.split("::").next(),
        }
    }

    /// What the crate is built with, besides `std`.
    pub(crate) fn features(&self) -> &[String] {
        match self {
            Self::Loom { .. } | Self::Package { .. } | Self::Guest { .. } => &[],
            Self::Host { features, .. } | Self::Unit { features, .. } => features,
        }
    }

    /// In a word; of another package's test, that is the package.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Loom { .. } => "loom",
            Self::Host { .. } => "host",
            Self::Unit { .. } => "unit",
            Self::Package { package, .. } => package,
            Self::Guest { .. } => "guest",
        }
    }

    pub(crate) const fn is_guest(&self) -> bool {
        matches!(self, Self::Guest { .. })
    }

    /// Whether it is built in a copy of the whole workspace, not of the crate alone.
    pub(crate) const fn needs_workspace(&self) -> bool {
        matches!(self, Self::Guest { .. } | Self::Package { .. })
    }
}

/// `loom loom_close slots_2::a_refusal_is_final`, `unit +diagnosis the_generation_wraps`.
impl fmt::Display for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        if let Some(binary) = self.binary() {
            write!(f, " {binary}")?;
        }
        for feature in self.features() {
            write!(f, " +{feature}")?;
        }
        write!(f, " {}", self.filter())
    }
}

/// Reads the files of a list and checks all that can be checked without the sources.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for file in files {
        let text = fs::read_to_string(file);
        let text = text.with_context(|| format!("reading {}", file.display()))?;
        mutants.extend(parse(&text).with_context(|| format!("in {}", file.display()))?);
    }
    names_differ(&mutants)?;
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
        check(mutant).with_context(|| format!("mutant `{}`", mutant.name))?;
    }
    Ok(list.mutant)
}

fn names_differ(mutants: &[Mutant]) -> Result<()> {
    let mut names = BTreeSet::new();
    for mutant in mutants {
        if !names.insert(&mutant.name) {
            bail!("two mutants are called `{}`", mutant.name);
        }
    }
    Ok(())
}

fn check(mutant: &Mutant) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        !mutant.name.is_empty() && mutant.name.chars().all(plain),
        "its name is not made of lower-case letters, digits and `-`"
    );
    let number = mutant.promise.strip_prefix('S').map(str::parse::<u8>);
    ensure!(
        matches!(number, Some(Ok(1..=13)))
            || ["diagnosis", BRING_UP].contains(&mutant.promise.as_str()),
        "its promise is `{}`, not one of S1 to S13, nor `diagnosis` or `{BRING_UP}`",
        mutant.promise
    );
    ensure!(
        mutant.find != mutant.replace && !mutant.find.trim().is_empty(),
        "`find` and `replace` change nothing"
    );
    ensure!(
        mutant.wrong.ends_with('.') && !mutant.wrong.contains('\n'),
        "`wrong` is not one sentence on one line"
    );
    ensure!(
        !mutant.killed_by.filter().trim().is_empty(),
        "its killer names no test"
    );
    // Loom itself says when threads wait for each other; a search without end proves nothing.
    ensure!(
        !(mutant.hangs && matches!(mutant.killed_by, Killer::Loom { .. })),
        "a loom model that does not end is no kill"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of one mutant, with a line of it replaced.
    fn list(from: &str, to: &str) -> Result<Vec<Mutant>> {
        let text = r#"
            [[mutant]]
            name = "a-1"
            file = "src/lib.rs"
            find = "1"
            replace = "2"
            wrong = "It is."
            promise = "S1"
            killed_by = { kind = "host", binary = "b", test = "t" }
        "#;
        assert!(text.contains(from));
        parse(&text.replace(from, to))
    }

    #[test]
    fn a_list_is_read() {
        let mutants = list("", "").expect("a list");
        assert_eq!(mutants.len(), 1);
        assert_eq!(mutants[0].killed_by.to_string(), "host b t");
        assert!(!mutants[0].hangs);
    }

    #[test]
    fn a_killer_may_need_features() {
        let with = "test = \"t\", features = [\"f\", \"g\"]";
        let mutants = list("test = \"t\"", with).expect("a list");
        assert_eq!(mutants[0].killed_by.features(), ["f", "g"]);
        assert_eq!(mutants[0].killed_by.to_string(), "host b +f +g t");
    }

    #[test]
    fn a_killer_may_be_a_guest() {
        let killer = r#"{ kind = "guest", test = "scenario::smp_2" }"#;
        let mutants = list(r#"{ kind = "host", binary = "b", test = "t" }"#, killer);
        let killer = &mutants.expect("a list")[0].killed_by;
        assert_eq!(killer.to_string(), "guest scenario scenario::smp_2");
        assert!(killer.is_guest());
    }

    #[test]
    fn a_killer_may_be_another_packages() {
        let host = r#"{ kind = "host", binary = "b", test = "t" }"#;
        for (killer, shown) in [
            (
                r#"{ kind = "package", package = "bringup", test = "t" }"#,
                "bringup t",
            ),
            (
                r#"{ kind = "package", package = "bringup", binary = "b", test = "t" }"#,
                "bringup b t",
            ),
        ] {
            let mutants = list(host, killer).expect("a list");
            let killer = &mutants[0].killed_by;
            assert_eq!(killer.to_string(), shown);
            assert!(killer.needs_workspace() && !killer.is_guest());
        }
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        for (from, to, why) in [
            ("a-1", "A", "lower-case"),
            ("S1", "S14", "S1 to S13"),
            ("S1", "1", "S1 to S13"),
            ("\"2\"", "\"1\"", "change nothing"),
            ("It is.", "It is", "one sentence"),
            ("\"t\"", "\" \"", "names no test"),
            ("\"host\"", "\"ghost\"", "ghost"),
            ("promise", "promises", "promises"),
            (
                "killed_by",
                "hangs = true\nkilled_by.kind = \"loom\"\nkilled_by.binary = \"b\"\n\
                 killed_by.test = \"t\"\n#",
                "no kill",
            ),
        ] {
            let error = format!("{:#}", list(from, to).expect_err(to));
            assert!(error.contains(why), "{to}: {error}");
        }
    }

    #[test]
    fn names_are_unique() {
        let one = r#"
            [[mutant]]
            name = "a"
            file = "src/lib.rs"
            find = "1"
            replace = "2"
            wrong = "It is."
            promise = "S1"
            killed_by = { kind = "unit", test = "t" }
        "#;
        let twice = parse(&format!("{one}{one}")).expect("two mutants");
        let error = names_differ(&twice).expect_err("twice the same name");
        assert!(error.to_string().contains("two mutants"), "{error}");
    }

    #[test]
    fn every_mutant_applies_and_every_killer_exists() {
        let place = crate::place::Place::here();
        let files = crate::place::list_files().expect("a folder");
        let mutants = read(&files).expect("the list");
        let complaints = complaints(&mutants, &place);
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}
