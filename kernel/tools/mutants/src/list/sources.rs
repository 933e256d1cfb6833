//! Whether a list fits the sources: each patch applies, and each killer is there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Killer, Mutant};
use crate::place::Place;

/// Whether the crate's sources still are what the list speaks of: each patch applies, and each
/// killer's test is where the list says. Gives all complaints.
pub(crate) fn complaints(mutants: &[Mutant], place: &Place) -> Vec<String> {
    let mut complaints = Vec::new();
    for mutant in mutants {
        let (base, exists): (_, fn(&Mutant, &Path) -> Result<()>) = match mutant.killed_by {
            Killer::Guest { .. } => (place.root.clone(), guest_exists),
            Killer::Package { .. } => (place.root.clone(), test_of_package_exists),
            _ => (place.package(), killer_exists),
        };
        let checked = [applies(mutant, &base), exists(mutant, &base)];
        for error in checked.into_iter().filter_map(Result::err) {
            complaints.push(format!("`{}`: {error:#}", mutant.name));
        }
    }
    complaints
}

fn applies(mutant: &Mutant, base: &Path) -> Result<()> {
    let file = base.join(&mutant.file);
    let source = fs::read_to_string(&file).with_context(|| format!("reading {}", mutant.file))?;
    mutant
        .patch()
        .apply(&source)
        .map(drop)
        .with_context(|| format!("the mutant no longer applies: {}", mutant.file))
}

/// Only looks for the function's name; that the filter finds it, the unmutated run shows.
fn killer_exists(mutant: &Mutant, package: &Path) -> Result<()> {
    let filter = mutant.killed_by.filter();
    let function = filter.rsplit("::").next().unwrap_or(filter);
    let Some(binary) = mutant.killed_by.binary() else {
        // A unit test may be in any source file.
        return Ok(());
    };
    let text = source_of(package, binary)
        .with_context(|| format!("reading its killer's tests/{binary}"))?;
    let there = [format!("fn {function}("), format!("fn {function}<")]
        .iter()
        .any(|head| text.contains(head.as_str()));
    ensure!(there, "its killer `{function}` is not in tests/{binary}");
    Ok(())
}

/// As [`killer_exists`].
fn test_of_package_exists(mutant: &Mutant, root: &Path) -> Result<()> {
    let Killer::Package {
        package,
        binary,
        test,
    } = &mutant.killed_by
    else {
        return Ok(());
    };
    let package = root.join("kernel").join(package);
    let part = match binary {
        Some(binary) => package.join("tests").join(format!("{binary}.rs")),
        None => package.join("src"),
    };
    let function = test.rsplit("::").next().unwrap_or(test);
    let mut found = false;
    for_each_text(&part, &mut |text| {
        found |= text.contains(&format!("fn {function}("))
    })?;
    ensure!(
        found,
        "its killer `{function}` is not in {}",
        part.display()
    );
    Ok(())
}

/// The texts of a file, or of all files below a folder.
fn for_each_text(path: &Path, f: &mut dyn FnMut(&str)) -> Result<()> {
    if !path.is_dir() {
        let text = fs::read_to_string(path);
        f(&text.with_context(|| format!("reading {}", path.display()))?);
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        for_each_text(&entry?.path(), f)?;
    }
    Ok(())
}

fn guest_exists(mutant: &Mutant, root: &Path) -> Result<()> {
    let test = mutant.killed_by.filter();
    let (scenario, machine) = test.split_once("::").unwrap_or((test, ""));
    ensure!(
        !machine.is_empty(),
        "its killer is no `scenario::machine`: {test}"
    );
    let file = root.join(format!("tests/{scenario}.rs"));
    ensure!(file.is_file(), "its killer `{scenario}` is no scenario");
    Ok(())
}

/// The text of a test binary: a file, or those of a folder.
fn source_of(package: &Path, binary: &str) -> Result<String> {
    let tests = package.join("tests");
    let folder = tests.join(binary);
    if !folder.is_dir() {
        return Ok(fs::read_to_string(tests.join(format!("{binary}.rs")))?);
    }
    let mut text = String::new();
    for entry in fs::read_dir(folder)? {
        text.push_str(&fs::read_to_string(entry?.path())?);
    }
    Ok(text)
}
