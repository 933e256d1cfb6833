//! The parts of the table that are about many objects: their use, and making one more.

use std::fmt::{self, Write as _};

use super::{Pair, Report};
use crate::Group;
use crate::objects::{COUNTS, LINE, Use};

pub(super) fn objects(report: &Report, out: &mut String) -> fmt::Result {
    if report.objects.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\none of many objects, picked at random: acquire, read the value, release; one thread, ns"
    )?;
    write!(out, "  {:44} {:>5}", "objects", "lines")?;
    for count in COUNTS {
        write!(out, " {count:>8}")?;
    }
    writeln!(out)?;
    if let Some(l2) = report.machine.l2_bytes {
        write!(out, "  {:44} {:>5}", "one line of each, in L2 caches", "")?;
        for count in COUNTS {
            write!(out, " {:>8.3}", (count * LINE) as f64 / l2 as f64)?;
        }
        writeln!(out)?;
    }
    for group in [Group::Ours, Group::Peer, Group::Limit] {
        let of_group: Vec<&Use> = report.objects.iter().filter(|l| l.group == group).collect();
        for lines in of_group.chunk_by(|a, b| a.name == b.name) {
            write!(out, "  {:44} {:>5}", lines[0].name, lines[0].lines)?;
            for count in COUNTS {
                match lines.iter().find(|line| line.objects == count) {
                    Some(line) => write!(out, " {:>8.1}", line.ns.median)?,
                    None => write!(out, " {:>8}", "-")?,
                }
            }
            writeln!(out)?;
        }
    }
    writeln!(
        out,
        "lines: cache lines of the object that a use touches, besides the table where it is looked up. -: \
         more than 1 GiB."
    )
}

pub(super) fn written(report: &Report, out: &mut String) -> fmt::Result {
    if report.written.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\none object whose value users increment, by all CPUs at once; ns per use"
    )?;
    writeln!(
        out,
        "  {:44} {:>8} {:>10} {:>16}",
        "", "one CPU", "all CPUs", "the only reader"
    )?;
    for (all, reader) in report.written.iter().zip(&report.beside_writers) {
        let last = |pair: &Pair| pair.costs.last().map_or(f64::NAN, |cost| cost.ns.median);
        let (name, alone) = (all.name, all.alone());
        let (all, reader) = (last(all), last(reader));
        writeln!(out, "  {name:44} {alone:>8.1} {all:>10.1} {reader:>16.1}")?;
    }
    writeln!(
        out,
        "the only reader: one CPU only takes protection and gives it back, while all others increment."
    )
}

pub(super) fn creations(report: &Report, out: &mut String) -> fmt::Result {
    if report.creations.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nmaking an object of the per-CPU variant (HostPlatform), ns"
    )?;
    write!(out, "  {:44}", "while others live")?;
    for line in &report.creations {
        write!(out, " {:>8}", line.live)?;
    }
    write!(out, "\n  {:44}", "one more")?;
    for line in &report.creations {
        write!(out, " {:>8.0}", line.ns.median)?;
    }
    write!(out, "\n  {:44}", "one where others were dropped before")?;
    for line in &report.creations {
        write!(out, " {:>8.0}", line.in_holes_ns.median)?;
    }
    writeln!(out)
}
