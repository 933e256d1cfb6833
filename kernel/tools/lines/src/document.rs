//! The part of `docs/cost.md` that is made of the formulas.

use std::fs;

use crate::table;

/// The document, from this package's folder.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/cost.md");

const BEGIN: &str = "<!-- tables: begin -->";
const END: &str = "<!-- tables: end -->";

/// Puts the tables where the document has the marks for them. Returns its path.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn write() -> Result<&'static str, String> {
    let old = read()?;
    fs::write(PATH, with_tables(&old)?).map_err(|error| format!("{PATH}: {error}"))?;
    Ok(PATH)
}

fn read() -> Result<String, String> {
    fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))
}

fn with_tables(text: &str) -> Result<String, String> {
    let missing = || format!("{PATH} lacks `{BEGIN}` and `{END}`, each on a line of its own");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", table::all()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_current() {
        let text = read().expect("the document is there");
        let new = with_tables(&text).expect("it has the marks");
        assert!(
            text == new,
            "the tables of docs/cost.md are stale: `cargo run -p lines -- --write` renews them"
        );
    }
}
