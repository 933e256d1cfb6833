//! Machine checks: reported once, by the CPU that has the error, with what its banks say.

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use boot::{Action, Outcome, Report, Trigger};
use protocol::event::Event;
use tests::Case;

fn main() -> ExitCode {
    // Status: valid, uncorrected, enabled, context corrupt (Intel SDM 3B, figure 16-6); with and without
    // an address.
    let cases = vec![
        case("2", "mce 1 1 0xb200000000000000 0x5 0 0")
            .named("on_an_ap")
            .expecting(|report| {
                let text = reported_by(report, 1)?;
                says(text, "bank 1: status 0xb200000000000000,")
            }),
        case("2", "mce 0 9 0xb200000000000000 0x5 0 0")
            .named("on_the_bsp")
            .expecting(|report| {
                let text = reported_by(report, 0)?;
                says(text, "bank 9: status 0xb200000000000000,")
            }),
        // CPU 8 is APIC ID 10 here.
        case(
            "9,sockets=3,cores=3,threads=1",
            "mce 8 3 0xb600000000000000 0x4 0x1234000 0",
        )
        .named("with_an_address_and_sparse_apic_ids")
        .expecting(|report| {
            let text = reported_by(report, 8)?;
            says(
                text,
                "bank 3: status 0xb600000000000000, address 0x1234000,",
            )
        }),
        // As Intel's CPUs do it: all of them take it.
        case("8", "mce -b 5 2 0xb200000000000000 0x5 0 0")
            .named("on_all_cpus_at_once")
            .expecting(|report| {
                let panics = |event: &&Event<'_>| matches!(event, Event::Panic { .. });
                let panics = report.events.iter().filter(panics).count();
                ensure!(panics == 1, "{panics} panics are reported");
                ensure!(
                    matches!(report.outcome, Outcome::Panicked { .. }),
                    "{}",
                    report.outcome
                );
                Ok(())
            }),
    ];
    tests::main("machine_check", cases)
}

/// The monitor does this when the guest's test has begun.
fn case(smp: &str, command: &str) -> Case {
    let when = Trigger::TestStart("waits_for_a_machine_check".into());
    Case::new("machine_check", smp).act(Action::hmp(when, command))
}

/// The report of this CPU, if it is the one that has ended the guest.
fn reported_by(report: &Report, expected: u32) -> Result<&str> {
    match &report.outcome {
        Outcome::Panicked { cpu, message, .. } if *cpu == Some(expected) => Ok(message),
        outcome => bail!("CPU {expected} does not report it: {outcome}"),
    }
}

fn says(text: &str, words: &str) -> Result<()> {
    ensure!(
        text.contains("exception 18 (MachineCheck): ") && text.contains(words),
        "{words:?} is not in the report: {text}"
    );
    Ok(())
}
