//! Every atomic operation in `src/` says in a comment just above its statement what it pairs with.
#![cfg(not(rundown_loom))]

use std::fs;
use std::path::{Path, PathBuf};

/// The marks of an atomic operation in a line.
const OPERATIONS: [&str; 6] =
    [".load(", ".store(", ".swap(", ".fetch_", ".compare_exchange", "fence("];

/// The words that the comment must have ("pairs with" or "Pairs with").
const PARTNER: &str = "airs with";

#[test]
fn every_atomic_operation_names_its_partner() {
    let (mut operations, mut complaints) = (0, Vec::new());
    for file in files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let checked = check(&fs::read_to_string(&file).expect("a source file is text"));
        operations += checked.operations;
        let lonely = checked.lonely.iter();
        complaints.extend(lonely.map(|line| format!("{}:{line}", file.display())));
    }
    assert!(operations >= 15, "only {operations} atomic operations found: is the scan broken?");
    assert!(
        complaints.is_empty(),
        "no comment \"pairs with ...\" just above the statement at:\n{}",
        complaints.join("\n")
    );
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder exists");
    let paths = entries.map(|entry| entry.expect("the folder is readable").path());
    paths
        .flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

struct Checked {
    operations: usize,
    /// Line numbers, from 1, of operations without a partner.
    lonely: Vec<usize>,
}

/// Checks one file. Test modules, which end a file, are left out.
fn check(text: &str) -> Checked {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !(line.starts_with("#[cfg(") && line.contains("test")))
        .collect();
    let mut checked = Checked { operations: 0, lonely: Vec::new() };
    for (index, line) in lines.iter().enumerate() {
        if !is_comment(line) && OPERATIONS.iter().any(|operation| line.contains(operation)) {
            checked.operations += 1;
            if !comment_above(&lines, index).any(|comment| comment.contains(PARTNER)) {
                checked.lonely.push(index + 1);
            }
        }
    }
    checked
}

/// The contiguous comment lines above the statement that the line at `index` belongs to.
fn comment_above<'a>(lines: &'a [&'a str], index: usize) -> impl Iterator<Item = &'a str> {
    let starts_here = |above: &&str| {
        above.is_empty() || is_comment(above) || above.ends_with([';', '{', '}', ','])
    };
    let first = lines[..index].iter().rposition(starts_here).map_or(0, |above| above + 1);
    lines[..first].iter().rev().copied().take_while(|line| is_comment(line))
}

fn is_comment(line: &str) -> bool {
    line.starts_with("//")
}

#[test]
fn the_check_finds_what_it_should() {
    let sample = "
        // Acquire: pairs with the Release in `b`.
        let a = word.load(Ordering::Acquire);
        let b = word.load(Ordering::Acquire);
        // Pairs with nothing.

        word.swap(1, Ordering::Release);
        // Release: it pairs with
        // the Acquire in `a`.
        match word
            .compare_exchange(a, b, Ordering::Release, Ordering::Relaxed)
        #[cfg(test)]
        mod tests { word.load(Ordering::Relaxed) }
    ";
    let checked = check(sample);
    assert_eq!((checked.operations, checked.lonely), (4, vec![4, 7]));
}
