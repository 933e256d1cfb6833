//! The kernel's report on its CPUs after their start.

use anyhow::{Context, Result, ensure};
use boot::Report;
use protocol::event::{Cpu, Event};

use crate::events;

/// The rows of its table of CPUs.
#[must_use]
pub fn rows(report: &Report) -> Vec<Cpu> {
    events!(report, Event::Cpu(cpu) => *cpu).collect()
}

/// That table, but for times.
pub fn table_is(rows: &[Cpu], expected: &[Cpu]) -> Result<()> {
    for (row, expected) in rows.iter().zip(expected) {
        let online_us = expected.online_us;
        let row = Cpu { online_us, ..*row };
        ensure!(row == *expected, "{row:?}\ninstead of {expected:?}");
    }
    let (found, expected) = (rows.len(), expected.len());
    ensure!(found == expected, "{found} rows instead of {expected}");
    Ok(())
}

/// `expected` CPUs are online, of `of` enabled ones. Returns the microseconds until the last was.
pub fn are_online(report: &Report, expected: u32, of: u32) -> Result<u64> {
    let mut summary =
        events!(report, Event::Online { online, enabled, micros } => (*online, *enabled, *micros));
    let (online, enabled, micros) =
        summary.next().context("the kernel did not say how many CPUs are online")?;
    ensure!((online, enabled) == (expected, of), "{online} of {enabled} CPUs online");
    Ok(micros)
}

/// The APIC IDs that it says are missing: exactly these, in this order.
pub fn are_missing(report: &Report, ids: &[u32]) -> Result<()> {
    let missing: Vec<u32> = events!(report, Event::Missing { apic_id } => *apic_id).collect();
    ensure!(missing == ids, "said to be missing: {missing:?}");
    Ok(())
}
