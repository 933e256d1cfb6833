//! The table in docs/mutants.md: the mutants that break the crate's promises.

use std::path::Path;

use anyhow::{Context, Result};

use crate::list::{self, Kind, Mutant};

const BEGIN: &str = "<!-- mutants: begin -->\n";
const END: &str = "<!-- mutants: end -->";

/// The page as it is, and as it is to be.
pub(crate) fn page(file: &Path, mutants: &[Mutant]) -> Result<(String, String)> {
    let old = list::read(file)?;
    let missing = || {
        format!(
            "the page lacks `{}` and `{END}`, each on a line of its own",
            BEGIN.trim()
        )
    };
    let (before, rest) = old.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    let new = [before, BEGIN, &table(mutants), END, after].concat();
    Ok((old, new))
}

fn table(mutants: &[Mutant]) -> String {
    let head = "| mutant | what is wrong with it | breaks | killed by |\n|---|---|---|---|\n";
    let rows = mutants
        .iter()
        .filter(|mutant| mutant.is_of_the_crate())
        .map(row);
    [head.into()].into_iter().chain(rows).collect()
}

fn row(mutant: &Mutant) -> String {
    let killer = &mutant.killed_by;
    let place = match (killer.kind, killer.binary()) {
        // Part of the test's name.
        (Kind::Guest, _) => String::new(),
        (_, Some(binary)) => format!(" `{binary}`"),
        (_, None) if killer.features.is_empty() => String::new(),
        (_, None) => format!(" with `{}`", killer.features.join(",")),
    };
    let wrong = mutant.wrong.replace('|', "\\|");
    format!(
        "| `{}` | {wrong} | {} | {}{place}: `{}` |\n",
        mutant.name,
        mutant.promise,
        killer.word(),
        killer.test
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_on_the_page_is_current() {
        let mutants = crate::list::load(&crate::package()).expect("the list");
        let (old, new) = super::page(&crate::page(), &mutants).expect("a page with marks");
        assert!(
            old == new,
            "the table in docs/mutants.md is stale: `cargo run -p mutants -- --table` renews it"
        );
    }
}
