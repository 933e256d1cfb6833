//! The table in docs/mutants.md: the mutants that break the crate's promises.

use std::path::Path;

use anyhow::{Context, Result};

use crate::list::{self, Mutant};

const BEGIN: &str = "<!-- mutants: begin -->\n";
const END: &str = "<!-- mutants: end -->";

/// The page as it is, and as it is to be.
pub(crate) fn page(file: &Path, mutants: &[Mutant]) -> Result<(String, String)> {
    let old = list::read(file)?;
    let missing = "the page lacks its two marks, each on a line of its own";
    let (before, rest) = old.split_once(BEGIN).context(missing)?;
    let (_, after) = rest.split_once(END).context(missing)?;
    let of_the_crate = mutants.iter().filter(|mutant| mutant.is_of_the_crate());
    let rows: String = of_the_crate.map(row).collect();
    let head = "| mutant | what is wrong with it | breaks | killed by |\n|---|---|---|---|\n";
    let new = [before, BEGIN, head, &rows, END, after].concat();
    Ok((old, new))
}

fn row(mutant: &Mutant) -> String {
    let (name, promise, killer) = (&mutant.name, &mutant.promise, &mutant.killed_by);
    let wrong = mutant.wrong.replace('|', "\\|");
    format!("| `{name}` | {wrong} | {promise} | {killer} |\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_on_the_page_is_current() {
        let mutants = crate::list::load(&crate::package()).expect("the list");
        let page = crate::root().join("docs/mutants.md");
        let (old, new) = super::page(&page, &mutants).expect("a page with marks");
        assert!(old == new, "`cargo run -p mutants -- --table` renews it");
    }
}
