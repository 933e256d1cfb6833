//! Every machine is seen as it is: all CPUs come up, know where they sit, and know which caches they
//! share with whom; for many shapes, of CPUs of many models.

use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use boot::version::Version;
use boot::{Report, qemu};
use protocol::event::{Cpu, Event};
use protocol::options::Job;
use protocol::topology::Cache;
use tests::machines::{self, Setup};
use tests::shape::Shape;
use tests::{Case, cpus, judge};

fn main() -> ExitCode {
    let cases = machines::all().into_iter().map(|setup| {
        Case::topology(&setup.smp)
            .cpu(setup.model.name)
            .on(setup.machine)
            .expecting(move |report| {
                judge::ended_well(report)?;
                all_are_online(report, &setup)?;
                every_cpu_is_in_its_place(report, &setup)?;
                caches_are_shared_by_the_right_ones(report, &setup)
            })
    });
    let report = Case::topology("4").named("report");
    let report = report.options(|options| options.job = Job::Report);
    let report = report.expecting(|report| {
        judge::ended_well(report)?;
        cpus::are_online(report, 4, 4)?;
        the_madt_is_shown(report)
    });
    tests::main("topology", cases.chain([report]).collect())
}

/// All of it: its bytes are as many as it says, and add up to 0 (ACPI Specification 6.5, section 5.2.6).
fn the_madt_is_shown(report: &Report) -> Result<()> {
    let mut bytes = Vec::new();
    for (_, digits) in report
        .lines
        .iter()
        .filter_map(|line| line.split_once("madt: "))
    {
        for byte in digits.trim_end().as_bytes().chunks(2) {
            bytes.push(u8::from_str_radix(str::from_utf8(byte)?, 16)?);
        }
    }
    ensure!(bytes.starts_with(b"APIC"), "{bytes:02x?}");
    let length = bytes.get(4..8).context("cut")?.try_into()?;
    ensure!(
        bytes.len() == u32::from_le_bytes(length) as usize,
        "{bytes:02x?}"
    );
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    ensure!(sum == 0, "{bytes:02x?}");
    Ok(())
}

fn all_are_online(report: &Report, setup: &Setup) -> Result<()> {
    let all = Shape::of(&setup.smp).cpus;
    cpus::are_online(report, all, all).map(drop)
}

fn every_cpu_is_in_its_place(report: &Report, setup: &Setup) -> Result<()> {
    let rows = cpus::rows(report);
    let expected = setup.model.table(&Shape::of(&setup.smp));
    for (row, expected) in rows.iter().zip(&expected) {
        let row = Cpu {
            online_us: 0,
            ..*row
        };
        ensure!(row == *expected, "{row:?}\ninstead of {expected:?}");
    }
    ensure!(
        rows.len() == expected.len(),
        "{} rows instead of {}",
        rows.len(),
        expected.len()
    );
    Ok(())
}

/// Each CPU has the caches of its model; and of any two CPUs it is right whether they share them.
fn caches_are_shared_by_the_right_ones(report: &Report, setup: &Setup) -> Result<()> {
    let rows = cpus::rows(report);
    let told: Vec<Cache> = report
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Cache(cache) => Some(*cache),
            _ => None,
        })
        .collect();
    let expected = setup.model.caches(qemu_version()?);
    ensure!(
        told.len() == rows.len() * expected.len(),
        "{} caches are told of",
        told.len()
    );
    let by_cpu: Vec<&[Cache]> = told.chunks(expected.len()).collect();
    for (row, caches) in rows.iter().zip(&by_cpu) {
        for (cache, expected) in caches.iter().zip(&expected) {
            let found = (cache.cpu, cache.level, cache.kind, cache.bytes);
            let right = (row.index, expected.level, expected.kind, expected.bytes);
            ensure!(found == right, "{cache:?}\ninstead of {expected:?}");
            let (ways, line) = (cache.ways, cache.line);
            ensure!((ways, line) == (expected.ways, 64), "{cache:?}");
        }
    }
    for (one, of_one) in rows.iter().zip(&by_cpu) {
        for (other, of_other) in rows.iter().zip(&by_cpu) {
            for (nth, cache) in expected.iter().enumerate() {
                let (mine, theirs) = (of_one[nth], of_other[nth]);
                let shared = mine.identity() == theirs.identity();
                let right = cache.sharers.are(one, other);
                ensure!(
                    shared == right,
                    "{mine} shared by\n{one:?} and\n{other:?}: {shared}, instead of {right}"
                );
            }
        }
    }
    Ok(())
}

/// Of the QEMU that the cases are booted in; asked once.
fn qemu_version() -> Result<Version> {
    static VERSION: OnceLock<Option<Version>> = OnceLock::new();
    let ask = || qemu::version(&qemu::find(None).ok()?).ok();
    VERSION
        .get_or_init(ask)
        .context("QEMU does not tell its version")
}
