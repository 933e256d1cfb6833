//! The table of mutants in docs/mutants.md: those that break the crate's promises.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::list::Mutant;

const BEGIN: &str = "<!-- mutants: begin -->";
const END: &str = "<!-- mutants: end -->";

/// Puts the table where the page has the marks for it. Whether that changed anything.
pub(crate) fn write(page: &Path, mutants: &[Mutant]) -> Result<bool> {
    let text = read(page)?;
    let new = with_table(&text, mutants)?;
    if new == text {
        return Ok(false);
    }
    fs::write(page, new).with_context(|| format!("writing {}", page.display()))?;
    Ok(true)
}

/// Whether the page has the table of these mutants.
pub(crate) fn is_current(page: &Path, mutants: &[Mutant]) -> Result<bool> {
    let text = read(page)?;
    Ok(with_table(&text, mutants)? == text)
}

fn read(page: &Path) -> Result<String> {
    fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))
}

fn with_table(text: &str, mutants: &[Mutant]) -> Result<String> {
    let missing = || format!("the page lacks `{BEGIN}` and `{END}`, each on a line of its own");
    let (before, rest) = text.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", table(mutants)))
}

fn table(mutants: &[Mutant]) -> String {
    let mut table = String::from("| mutant | what is wrong with it | breaks | killed by |\n");
    table.push_str("|---|---|---|---|\n");
    for mutant in mutants.iter().filter(|mutant| mutant.is_of_the_crate()) {
        let killer = &mutant.killed_by;
        let wrong = mutant.wrong.replace('|', "\\|");
        let (kind, test) = (killer.kind(), killer.filter());
        let binary = match (killer.binary(), killer.features()) {
            // Part of the test's name.
            _ if killer.is_guest() => String::new(),
            (Some(binary), _) => format!(" `{binary}`"),
            (None, []) => String::new(),
            (None, features) => format!(" with `{}`", features.join(",")),
        };
        table.push_str(&format!(
            "| `{}` | {wrong} | {} | {kind}{binary}: `{test}` |\n",
            mutant.name, mutant.promise
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{self, Place};

    #[test]
    fn the_table_on_the_page_is_current() {
        let files = place::list_files().expect("a folder");
        let mutants = crate::list::read(&files).expect("the list");
        let page = Place::here().mutants_page();
        assert!(
            is_current(&page, &mutants).expect("a page with marks"),
            "the table in docs/mutants.md is stale: `cargo run -p mutants -- --table` renews it"
        );
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let mutants = crate::list::parse(
            r#"
            [[mutant]]
            name = "not-the-crates"
            file = "src/lib.rs"
            find = "1"
            replace = "2"
            wrong = "It is."
            promise = "bring-up"
            killed_by = { kind = "guest", test = "b::t" }

            [[mutant]]
            name = "a"
            file = "src/lib.rs"
            find = "1"
            replace = "2"
            wrong = "It | is."
            promise = "S1"
            killed_by = { kind = "loom", binary = "b", test = "c::t" }
            "#,
        )
        .expect("a list");
        let old = format!("before\n{BEGIN}\nstale\n{END}\nafter\n");
        let new = with_table(&old, &mutants).expect("marks");
        assert!(new.starts_with(&format!("before\n{BEGIN}\n| mutant |")));
        assert!(new.contains("\n| `a` | It \\| is. | S1 | loom `b`: `c::t` |\n"));
        assert!(!new.contains("not-the-crates"));
        assert!(new.ends_with(&format!("\n{END}\nafter\n")));
        assert_eq!(with_table(&new, &mutants).expect("marks"), new);
        assert!(with_table("no marks", &mutants).is_err());
    }
}
