//! The table of many objects for `rundown`'s README.

use std::fmt::{self, Write as _};

use anyhow::Context;

use super::Report;
use crate::Group;
use crate::objects::{COUNTS, LINE, Use};

const BEGIN: &str = "<!-- objects -->\n";
const END: &str = "<!-- end of objects -->";

/// `readme` with the table of this report in its place.
///
/// # Errors
/// If there is no such place.
pub fn with_objects(readme: &str, report: &Report) -> anyhow::Result<String> {
    let place = "the README has no place for the table of many objects";
    let (before, rest) = readme.split_once(BEGIN).context(place)?;
    let (_, after) = rest.split_once(END).context(place)?;
    let mut table = String::new();
    write(report, &mut table).expect("a string takes everything");
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    write!(out, "| one of many objects, picked at random; ns |")?;
    for count in COUNTS {
        write!(out, " {} |", thousands(count))?;
    }
    writeln!(out, "\n|---|{}", "--:|".repeat(COUNTS.len()))?;
    for lines in report.objects.chunk_by(|a, b| a.name == b.name) {
        row(lines, out)?;
    }
    writeln!(
        out,
        "\nOne thread: acquire, read the value, release. {}.{} `cargo bench --package bench -- --part objects`, in the \
         repository, measures it anew.",
        report.machine,
        l2_caches(report),
    )
}

fn row(lines: &[Use], out: &mut String) -> fmt::Result {
    let name = match lines[0].group {
        Group::Ours => format!("*{}*", lines[0].name.trim_start()),
        _ => lines[0].name.to_owned(),
    };
    write!(out, "| {name} |")?;
    for count in COUNTS {
        match lines.iter().find(|line| line.objects == count) {
            Some(line) => write!(out, " {:.1} |", line.ns.median)?,
            None => write!(out, " |")?,
        }
    }
    writeln!(out)
}

/// How much of the L2 cache these objects take, if a use touches one line of each.
fn l2_caches(report: &Report) -> String {
    let Some(l2) = report.machine.l2_bytes else {
        return String::new();
    };
    let caches = COUNTS.map(|count| format!("{:.2}", (count * LINE) as f64 / l2 as f64));
    format!(
        " One cache line of each object is {} L2 caches.",
        caches.join(", ")
    )
}

/// 12,345
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effort, Machine, Spread};

    fn report() -> Report {
        let effort = Effort {
            rounds: 1,
            millis: 1,
        };
        let used = |name, objects| Use {
            name,
            group: Group::Ours,
            lines: 1,
            objects,
            ns: Spread::of([objects as f64]).expect("a value"),
            to_arc: None,
            to_crossbeam: None,
        };
        Report {
            objects: vec![used("plain", 1), used("plain", 50_000), used("other", 100)],
            ..Report::new(Machine::here(), effort)
        }
    }

    #[test]
    fn the_table_replaces_the_one_before() {
        let readme = format!("above\n{BEGIN}old\n{END}\nbelow\n");
        let new = with_objects(&readme, &report()).expect("there is a place");
        assert!(new.starts_with("above\n<!-- objects -->\n| one of many"));
        assert!(new.ends_with("\n<!-- end of objects -->\nbelow\n"));
        assert!(!new.contains("old"));
        assert!(new.contains("| 50,000 |"));
        assert!(new.contains("| *plain* | 1.0 | | | | 50000.0 | |\n"));
        assert_eq!(with_objects(&new, &report()).expect("still there"), new);
    }

    #[test]
    fn a_readme_without_a_place_is_an_error() {
        with_objects("nothing", &report()).expect_err("no place");
    }

    #[test]
    fn digits_are_in_groups_of_three() {
        assert_eq!(
            [7, 1_000, 50_000, 1_234_567].map(thousands),
            ["7", "1,000", "50,000", "1,234,567"]
        );
    }
}
