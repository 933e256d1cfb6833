//! All CPUs are found, started and numbered: on every machine, in every shape, up to 255.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use boot::{Machine, Report};
use protocol::event::{Cpu, Event};
use tests::Case;
use tests::model;
use tests::shape::Shape;

fn main() -> ExitCode {
    let guest = "bring_up";
    let mut cases = Case::matrix(guest, &[1, 2, 3, 4, 8, 16, 64, 255]);
    for shape in [
        // APIC IDs with gaps: three cores need two bits.
        "9,sockets=3,cores=3,threads=1",
        "6,sockets=2,cores=3,threads=1",
        "12,sockets=2,cores=3,threads=2",
        "12,sockets=2,dies=2,cores=3,threads=1",
        // Places for CPUs that are not there.
        "4,maxcpus=8",
        "5,maxcpus=6,sockets=2,cores=3,threads=1",
    ] {
        cases.push(Case::new(guest, shape));
    }
    for machine in [Machine::Pc, Machine::Microvm] {
        for smp in ["1", "4", "9,sockets=3,cores=3,threads=1"] {
            cases.push(Case::new(guest, smp).on(machine));
        }
    }
    // A CPU that never starts, in the midst of the others and after them.
    cases.push(Case::new(guest, "9,sockets=3,cores=3,threads=1").ghost(3));
    cases.push(Case::new(guest, "1").ghost(200));
    let cases = cases.into_iter().map(|case| {
        let shape = case.shape();
        case.also(move |report| index_table_is_right(report, &shape))
    });
    tests::main("bring_up", cases.collect())
}

/// The kernel's table says what the machine's shape makes of it; nobody but a ghost is missing.
fn index_table_is_right(report: &Report, shape: &Shape) -> Result<()> {
    let expected = model::MAX.table(shape);
    let rows: Vec<Cpu> = report
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Cpu(cpu) => Some(*cpu),
            _ => None,
        })
        .collect();
    let places: Vec<Cpu> = rows
        .iter()
        .map(|cpu| Cpu {
            online_us: 0,
            ..*cpu
        })
        .collect();
    ensure!(
        places == expected,
        "CPU table {places:#?}\ninstead of {expected:#?}"
    );

    let slowest = rows.iter().map(|cpu| cpu.online_us).max();
    let summary = report.events.iter().find_map(|event| match event {
        Event::Online {
            online,
            listed,
            micros,
        } => Some((*online, *listed, *micros)),
        _ => None,
    });
    let Some((online, listed, micros)) = summary else {
        anyhow::bail!("the kernel did not say how many CPUs are online");
    };
    let all = shape.cpus + u32::from(shape.ghost.is_some());
    ensure!(
        (online, listed) == (shape.cpus, all),
        "{online} of {listed} CPUs online"
    );
    ensure!(
        rows[0].online_us == 0,
        "the BSP took {} us to come online",
        rows[0].online_us
    );
    ensure!(
        slowest <= Some(micros),
        "a CPU came online after {slowest:?} us, the last one after {micros}"
    );
    let missing: Vec<u32> = report
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Missing { apic_id } => Some(*apic_id),
            _ => None,
        })
        .collect();
    ensure!(
        missing == Vec::from_iter(shape.ghost),
        "said to be missing: {missing:?}"
    );
    Ok(())
}
