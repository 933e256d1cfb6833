//! Every machine is seen as it is: all CPUs come up and know where they sit; for many shapes, of CPUs of many models.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use boot::Report;
use protocol::event::Cpu;
use protocol::options::Job;
use tests::machines::{self, Setup};
use tests::shape::Shape;
use tests::{Case, cpus, judge};

fn main() -> ExitCode {
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
    tests::main("topology", cases.collect())
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
