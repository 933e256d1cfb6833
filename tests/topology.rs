//! Machines are seen as they are: all CPUs come up and know their place, in many shapes and models.

use anyhow::{Context, Result, ensure};
use boot::Report;
use protocol::options::Job;
use tests::machines::{self, Setup};
use tests::shape::Shape;
use tests::{Case, cpus, judge};

pub(crate) fn cases() -> Vec<Case> {
    let cases = machines::all().into_iter().map(|setup| {
        Case::kernel(&setup.smp, 1)
            .options(|options| options.job = Job::BringUp)
            .cpu(setup.model.name)
            .on(setup.machine)
            .expecting(move |report| {
                judge::ended_well(report)?;
                all_are_online(report, &setup)?;
                every_cpu_is_in_its_place(report, &setup)
            })
    });
    let report = Case::kernel("4", 1).named("report");
    let report = report.options(|options| options.job = Job::Report);
    let report = report.expecting(|report| {
        judge::ended_well(report)?;
        cpus::are_online(report, 4, 4)?;
        the_madt_is_shown(report)
    });
    cases.chain([report]).collect()
}

/// All of it: it has as many bytes as it says, and they add up to 0 (ACPI 6.5, section 5.2.6).
fn the_madt_is_shown(report: &Report) -> Result<()> {
    let mut bytes = Vec::new();
    for (_, digits) in report.lines.iter().filter_map(|line| line.split_once("madt: ")) {
        for byte in digits.trim_end().as_bytes().chunks(2) {
            bytes.push(u8::from_str_radix(str::from_utf8(byte)?, 16)?);
        }
    }
    ensure!(bytes.starts_with(b"APIC"), "{bytes:02x?}");
    let length = bytes.get(4..8).context("cut")?.try_into()?;
    ensure!(bytes.len() == u32::from_le_bytes(length) as usize, "{bytes:02x?}");
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    ensure!(sum == 0, "{bytes:02x?}");
    Ok(())
}

fn all_are_online(report: &Report, setup: &Setup) -> Result<()> {
    let all = Shape::of(&setup.smp).cpus;
    cpus::are_online(report, all, all).map(drop)
}

fn every_cpu_is_in_its_place(report: &Report, setup: &Setup) -> Result<()> {
    let expected = setup.model.table(&Shape::of(&setup.smp));
    cpus::table_is(&cpus::rows(report), &expected)
}
