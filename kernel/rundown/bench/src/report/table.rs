//! The report for a terminal.

use std::fmt::{self, Write as _};

use super::{Pair, Report};
use crate::teardown::{BATCHES, SLOTS, Teardown};
use crate::{Group, Memory, Spread};

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
    pairs(report, out)?;
    memory(report, out)?;
    for loaded in [false, true] {
        teardowns(&report.teardowns, loaded, out)?;
    }
    batches(report, out)
}

const GROUPS: [(Group, &str); 4] = [
    (Group::Ours, "rundown"),
    (Group::Peer, "peers"),
    (Group::Shape, "other designs, rebuilt"),
    (Group::Limit, "limits: bare instructions"),
];

fn pairs(report: &Report, out: &mut String) -> fmt::Result {
    let Some(first) = report.pairs.first() else {
        return Ok(());
    };
    let threads: Vec<usize> = first.costs.iter().map(|cost| cost.threads).collect();
    let all = threads.last().copied().unwrap_or(1);
    write!(
        out,
        "\nacquire + release, ns per pair and thread\n{:46}",
        ""
    )?;
    for threads in &threads {
        write!(out, " {:>12}", format!("{threads} thr."))?;
    }
    writeln!(
        out,
        " {:>9} {:>7} {:>7}",
        format!("{all}T/1T"),
        "/lock",
        "/plain"
    )?;
    for (group, title) in GROUPS {
        writeln!(out, "{title}")?;
        let mut lines: Vec<&Pair> = report.pairs.iter().filter(|p| p.group == group).collect();
        lines.sort_by(|a, b| a.alone().total_cmp(&b.alone()));
        for line in lines {
            pair(line, out)?;
        }
        if group == Group::Peer {
            for missing in &report.missing {
                writeln!(out, "  {:44} {}", missing.name, missing.reason)?;
            }
        }
    }
    writeln!(
        out,
        "{all}T/1T: throughput. /lock, /plain: one thread to that of the two limits, within rounds"
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
        " {:>9} {:>7} {:>7}",
        ratio(line.scaling),
        ratio(line.to_locked),
        ratio(line.to_unlocked),
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

fn teardowns(lines: &[Teardown], loaded: bool, out: &mut String) -> fmt::Result {
    let lines: Vec<&Teardown> = lines.iter().filter(|line| line.loaded == loaded).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let load = if loaded {
        "while all other CPUs use it; in brackets the 99th percentile"
    } else {
        "idle; in brackets the ratio to the limit"
    };
    writeln!(out, "\nclose + drain of one object, ns: {load}")?;
    // Wide: kinds are few, slots are many. So a line for each number of slots.
    let mut kinds: Vec<&str> = lines.iter().map(|line| line.kind).collect();
    kinds.dedup();
    write!(out, "  {:>5}", "slots")?;
    for kind in &kinds {
        write!(out, " {kind:>26}")?;
    }
    writeln!(out)?;
    for slots in SLOTS {
        write!(out, "  {slots:>5}")?;
        for line in lines.iter().filter(|line| line.slots == slots) {
            let other = match line.to_limit {
                _ if loaded => format!("({:.0})", line.p99_ns.median),
                Some(ratio) => format!("({:.2})", ratio.median),
                None => String::new(),
            };
            let spread = format!("{:.0} ±{:.0}%", line.ns.median, line.ns.percent());
            write!(out, " {:>26}", format!("{spread} {other:>9}"))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn batches(report: &Report, out: &mut String) -> fmt::Result {
    if report.batches.is_empty() {
        return Ok(());
    }
    let mut kinds: Vec<&str> = report.batches.iter().map(|line| line.kind).collect();
    kinds.dedup();
    writeln!(
        out,
        "\nmany idle objects, a slot per CPU, ns per object: all closed, then all waited for (one by one)"
    )?;
    write!(out, "  {:>7}", "objects")?;
    for kind in &kinds {
        write!(out, " {kind:>26}")?;
    }
    writeln!(out)?;
    for objects in BATCHES {
        write!(out, "  {objects:>7}")?;
        for line in report.batches.iter().filter(|l| l.objects == objects) {
            let (together, single) = (line.together_ns, line.one_by_one_ns);
            let figures = format!(
                "{:.0} ±{:.0}% {:>9}",
                together.median,
                together.percent(),
                format!("({:.0})", single.median),
            );
            write!(out, " {figures:>26}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
