//! What became of a mutant.

use std::fmt;
use std::time::Duration;

use crate::list::Mutant;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its killer failed: which test, and what it said.
    Failed(String),
    /// Its killer hung, as the list says it would.
    Hung,
    /// Its killer noticed nothing.
    Survived,
    /// The list is wrong about it: this says in what.
    Mistake(String),
}

impl Verdict {
    pub(crate) fn is_kill(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Hung)
    }
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

/// The lines of the table at the end.
pub(crate) fn table(judged: &[Judged<'_>]) -> Vec<String> {
    let width = judged.iter().map(|one| one.mutant.name.len()).max();
    let width = width.unwrap_or(0);
    let row = |one: &Judged<'_>| {
        format!(
            "{:width$}  {:>3}  {:>5.1} s  {} {}: {}",
            one.mutant.name,
            one.mutant.promise,
            one.time.as_secs_f64(),
            one.mutant.killed_by.kind(),
            one.mutant.killed_by.binary().unwrap_or("src"),
            one.verdict
        )
    };
    judged.iter().map(row).collect()
}
