//! The report for a terminal.

use std::fmt::{self, Write as _};

use super::{Bound, BreakEven, Criterion, Missing, Pair, Report, many};
use crate::batch::BATCHES;
use crate::teardown::{SLOTS, Teardown};
use crate::{Group, Memory, Spread, names};

/// The whole report as text. Parts that were not measured are left out.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    write(report, &mut text).expect("a string takes everything");
    text
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "{}", report.machine)?;
    writeln!(
        out,
        "medians of {} rounds, {} ms each, {:.0}% of them disturbed; ±: half the distance of the quartiles",
        report.effort.rounds, report.effort.millis, report.disturbed_percent,
    )?;
    pairs(&report.pairs, "acquire + release", &report.missing, out)?;
    memory(report, out)?;
    let title = "acquire, 25 ns of work, release (the work is in the figures)";
    pairs(&report.work, title, &[], out)?;
    many::objects(report, out)?;
    many::written(report, out)?;
    many::creations(report, out)?;
    for loaded in [false, true] {
        teardowns(&report.teardowns, loaded, out)?;
    }
    batches(report, out)?;
    break_even(report, out)?;
    criteria(report, out)
}

const GROUPS: [(Group, &str); 5] = [
    (Group::Ours, "rundown"),
    (Group::Diagnosis, "rundown with its feature `diagnosis`"),
    (Group::Peer, "peers"),
    (Group::Shape, "other designs, rebuilt"),
    (Group::Limit, "limits: bare instructions"),
];

fn pairs(pairs: &[Pair], title: &str, missing: &[Missing], out: &mut String) -> fmt::Result {
    let Some(first) = pairs.first() else {
        return Ok(());
    };
    let threads: Vec<usize> = first.costs.iter().map(|cost| cost.threads).collect();
    let all = threads.last().copied().unwrap_or(1);
    write!(out, "\n{title}; ns per pair and thread\n{:46}", "")?;
    for threads in &threads {
        write!(out, " {:>12}", format!("{threads} thr."))?;
    }
    writeln!(
        out,
        " {:>9} {:>7} {:>7} {:>8}",
        format!("{all}T/1T"),
        "/lock",
        "/plain",
        "Windows/"
    )?;
    for (group, title) in GROUPS {
        let mut lines: Vec<&Pair> = pairs.iter().filter(|p| p.group == group).collect();
        if lines.is_empty() {
            continue;
        }
        writeln!(out, "{title}")?;
        lines.sort_by(|a, b| a.alone().total_cmp(&b.alone()));
        for line in lines {
            pair(line, out)?;
        }
        if group == Group::Peer {
            for missing in missing {
                writeln!(out, "  {:44} {}", missing.name, missing.reason)?;
            }
        }
    }
    if first.to_locked.is_none() {
        return writeln!(out, "{all}T/1T: throughput, within rounds.");
    }
    writeln!(
        out,
        "{all}T/1T: throughput. /lock, /plain: one thread to the limit with a lock prefix, and without.\n\
         Windows/: how many times faster than Windows' shape. All ratios are taken within rounds."
    )
}

fn pair(line: &Pair, out: &mut String) -> fmt::Result {
    write!(out, "  {:44}", line.name)?;
    for cost in &line.costs {
        let spread = format!("{:.1} ±{:.0}%", cost.ns.median, cost.ns.percent());
        write!(out, " {spread:>12}")?;
    }
    let ratio = |spread: Option<Spread>| {
        spread.map_or_else(|| "-".to_owned(), |spread| format!("{:.2}", spread.median))
    };
    writeln!(
        out,
        " {:>9} {:>7} {:>7} {:>8}",
        ratio(line.scaling),
        ratio(line.to_locked),
        ratio(line.to_unlocked),
        ratio(line.windows_to_this),
    )
}

fn memory(report: &Report, out: &mut String) -> fmt::Result {
    let lines: Vec<(&str, Memory)> = report
        .pairs
        .iter()
        .filter_map(|pair| Some((pair.name, pair.memory?)))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    const CPUS: [usize; 3] = [2, 64, 4096];
    write!(
        out,
        "\nmemory of one object besides its value, bytes\n{:46} {:>8} {:>8}",
        "", "object", "each CPU"
    )?;
    for cpus in CPUS {
        write!(out, " {:>10}", format!("{cpus} CPUs"))?;
    }
    writeln!(out)?;
    for (name, Memory { fixed, per_cpu }) in lines {
        write!(out, "  {name:44} {fixed:>8} {per_cpu:>8}")?;
        for cpus in CPUS {
            write!(out, " {:>10}", fixed + cpus * per_cpu)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Of figures whose spread would make the table too wide: it is in the JSON file.
fn row(out: &mut String, title: &str, figures: impl IntoIterator<Item = f64>) -> fmt::Result {
    write!(out, "  {title:44}")?;
    for figure in figures {
        write!(out, " {figure:>7.0}")?;
    }
    writeln!(out)
}

fn teardowns(lines: &[Teardown], loaded: bool, out: &mut String) -> fmt::Result {
    let lines: Vec<&Teardown> = lines.iter().filter(|line| line.loaded == loaded).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let load = if loaded {
        "one object while all other CPUs use it"
    } else {
        "one idle object"
    };
    writeln!(out, "\nclose + drain of {load}, ns")?;
    row(out, "slots", SLOTS.map(|slots| slots as f64))?;
    for lines in lines.chunk_by(|a, b| a.kind == b.kind) {
        row(out, lines[0].kind, lines.iter().map(|line| line.ns.median))?;
        if loaded {
            let p99 = lines.iter().map(|line| line.p99_ns.median);
            row(out, "  99th percentile", p99)?;
        }
    }
    Ok(())
}

fn batches(report: &Report, out: &mut String) -> fmt::Result {
    if report.batches.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nclose + drain of many idle objects, a slot per CPU: all closed, then all waited for; ns per object"
    )?;
    row(out, "objects", BATCHES.map(|objects| objects as f64))?;
    for lines in report.batches.chunk_by(|a, b| a.kind == b.kind) {
        let together = lines.iter().map(|line| line.together_ns.median);
        row(out, lines[0].kind, together)?;
        let one_by_one = lines.iter().map(|line| line.one_by_one_ns.median);
        row(out, "  one by one", one_by_one)?;
        let barriers: Option<Vec<u64>> = lines.iter().map(|line| line.barriers).collect();
        if let Some(barriers) = barriers {
            let barriers = barriers.into_iter().map(|count| count as f64);
            row(out, "  barriers to close all of them together", barriers)?;
        }
    }
    Ok(())
}

fn break_even(report: &Report, out: &mut String) -> fmt::Result {
    if report.break_even.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\npairs per close above which {} costs less than {}",
        names::PER_CPU_LINUX,
        names::CACHE_AWARE_HOSTED
    )?;
    for &BreakEven { loaded, pairs } in &report.break_even {
        let load = if loaded {
            "closed under load"
        } else {
            "closed idle"
        };
        writeln!(out, "  {load:44} {pairs:.0}")?;
    }
    Ok(())
}

fn criteria(report: &Report, out: &mut String) -> fmt::Result {
    let asked: Vec<_> = report
        .criteria
        .iter()
        .filter_map(|criterion| Some((criterion, criterion.measured?, criterion.met?)))
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let width = asked
        .iter()
        .map(|(criterion, ..)| criterion.what.len())
        .max();
    let width = width.unwrap_or(0);
    let title = "what is to be reached";
    writeln!(out, "\n{title:width$}       bound  measured")?;
    for (Criterion { what, bound, .. }, measured, met) in asked {
        let (sign, bound) = match *bound {
            Bound::AtMost(bound) => ("<=", bound),
            Bound::AtLeast(bound) => (">=", bound),
        };
        let verdict = if met { "yes" } else { "MISSED" };
        writeln!(
            out,
            "  {what:width$} {sign} {bound:>4.1} {measured:>9.2}  {verdict}"
        )?;
    }
    Ok(())
}
