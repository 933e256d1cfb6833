//! What the kernel says of its CPUs after their start.

use anyhow::{Context, Result, ensure};
use boot::Report;
use protocol::event::{Cpu, Event};

/// The rows of its table of CPUs.
#[must_use]
pub fn rows(report: &Report) -> Vec<Cpu> {
    let rows = report.events.iter().filter_map(|event| match event {
        Event::Cpu(cpu) => Some(*cpu),
        _ => None,
    });
    rows.collect()
}

/// So many are online, of so many that the firmware lists. Returns the microseconds until the last of them was.
///
/// # Errors
///
/// What it says instead, if anything.
pub fn are_online(report: &Report, expected: u32, of: u32) -> Result<u64> {
    let summary = report.events.iter().find_map(|event| match event {
        Event::Online {
            online,
            listed,
            micros,
        } => Some((*online, *listed, *micros)),
        _ => None,
    });
    let (online, listed, micros) =
        summary.context("the kernel did not say how many CPUs are online")?;
    ensure!(
        (online, listed) == (expected, of),
        "{online} of {listed} CPUs online"
    );
    Ok(micros)
}

/// The APIC IDs that it says are missing: exactly these, in this order.
///
/// # Errors
///
/// Those that it names instead.
pub fn are_missing(report: &Report, ids: &[u32]) -> Result<()> {
    let missing = report.events.iter().filter_map(|event| match event {
        Event::Missing { apic_id } => Some(*apic_id),
        _ => None,
    });
    let missing: Vec<u32> = missing.collect();
    ensure!(missing == ids, "said to be missing: {missing:?}");
    Ok(())
}
