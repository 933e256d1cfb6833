//! What may go wrong while CPUs start, one after the other: it is told, with the CPU's name and the place, who
//! is concerned is left out, and the rest goes on; or the kernel ends with one report.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use boot::{Outcome, Report};
use bringup::Stage;
use protocol::event::Event;
use protocol::options::{Fault, FaultKind, Job};
use protocol::start::Faulted;
use tests::Case;
use tests::cpus;
use tests::judge::log_has;

/// Three cores take two bits of an APIC ID: CPU 4 has the ID 5.
const SPARSE: &str = "6,sockets=2,cores=3,threads=1";

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for (kind, stage, vector) in [
        (FaultKind::Real, Stage::Real, Some(6)),
        (FaultKind::Protected, Stage::Protected, Some(6)),
        (FaultKind::Write, Stage::Long, Some(14)),
        (FaultKind::Execute, Stage::Long, Some(14)),
        (FaultKind::Entry, Stage::Entry, Some(14)),
        (FaultKind::Rust, Stage::Rust, Some(6)),
        (FaultKind::Panic, Stage::Rust, None),
        (FaultKind::Stack, Stage::Rust, Some(8)),
    ] {
        let one = fault(SPARSE, kind, Some(5)).also(move |report| {
            // Twice by itself, and once more when the guest calls it: each call is two attempts.
            went_wrong(report, &[5], 4, stage, vector)?;
            counts(report, 5, 6, &[5])
        });
        cases.push(one);
        // All of them at once: they share what exceptions push.
        let all = fault("8", kind, None).also(move |report| {
            let ids: Vec<u32> = (1..8).collect();
            went_wrong(report, &ids, 2, stage, vector)?;
            counts(report, 1, 8, &ids)
        });
        cases.push(all);
    }
    cases.push(
        fault("4", FaultKind::Stack, Some(2))
            .named("the_stack_that_ran_over_is_named")
            .also(|report| log_has(report, &["stack overflow: main stack of CPU 2"])),
    );
    cases.push(fault("4", FaultKind::Memory, None).also(|report| {
        counts(report, 1, 4, &[1, 2, 3])?;
        log_has(report, &["usable pages below 1 MiB side by side"])
    }));
    cases.extend(late());
    // Who goes wrong once comes when he is started once more: one of them, all of them.
    cases.push(fault(SPARSE, FaultKind::Once, Some(5)).also(|report| {
        went_wrong(report, &[5], 1, Stage::Rust, Some(6))?;
        counts(report, 6, 6, &[])
    }));
    cases.push(fault("8", FaultKind::Once, None).also(|report| {
        let ids: Vec<u32> = (1..8).collect();
        went_wrong(report, &ids, 1, Stage::Rust, Some(6))?;
        counts(report, 8, 8, &[])
    }));
    // The BSP is not started, and APIC ID 77 is not there: passed without its fault, such a run would prove nothing.
    for apic_id in [0, 77] {
        let nowhere = fault("2", FaultKind::Real, Some(apic_id));
        cases.push(nowhere.expecting(|report| {
            let unfit = matches!(report.outcome, Outcome::Unfit { .. });
            ensure!(unfit, "{}", report.outcome);
            log_has(
                report,
                &["no CPU that is started by another has this APIC ID"],
            )
        }));
    }
    // Who is not there is looked for twice; that does not concern those who are.
    let ghost = Case::new("start_faults", "4").ghost(9);
    cases.push(ghost.also(|report| counts(report, 4, 5, &[9])));
    cases.push(reset_while_they_log());
    cases.push(fault("4", FaultKind::Tsc, Some(3)).also(|report| {
        counts(report, 4, 4, &[])?;
        log_has(report, &["the clock of CPU 3 is behind the BSP's by"])
    }));
    cases.push(fault("4", FaultKind::Bsp, None).expecting(|report| {
        let panics = report.events.iter();
        let panics = panics.filter(|event| matches!(event, Event::Panic { .. }));
        ensure!(panics.count() == 1, "not exactly one panic is told");
        let Outcome::Panicked { cpu, message, .. } = &report.outcome else {
            anyhow::bail!("{}", report.outcome);
        };
        ensure!(*cpu == Some(0), "on CPU {cpu:?}");
        ensure!(
            message.contains("on the BSP, while others start"),
            "{message}"
        );
        Ok(())
    }));
    // A CPU that is there, but is not listed: in the midst of the others, and after them.
    for (smp, id) in [(SPARSE, 4), ("4", 3)] {
        let case = Case::new("start_faults", smp).named(&format!("hide_{id}_of_{}", &smp[..1]));
        cases.push(
            case.options(|options| options.hide = Some(id))
                .also(move |report| {
                    let unlisted = report.events.iter();
                    let unlisted =
                        unlisted.filter(|event| **event == Event::Unlisted { apic_id: id });
                    ensure!(unlisted.count() == 1, "not told once");
                    Ok(())
                }),
        );
    }
    tests::main("start_faults", cases)
}

/// CPUs that come later than the others, but in time; and those that come when they have been given up: in
/// the trampoline, and when they have shown up already.
fn late() -> [Case; 5] {
    let by_guest = |guest, kind: FaultKind, millis, patience| {
        let name = match kind {
            FaultKind::Slow => "slow",
            _ => "late",
        };
        let case = Case::new(guest, "2").named(&format!("{name}_by_{millis}_ms"));
        case.options(move |options| {
            options.patience = patience;
            options.fault = Some(Fault {
                kind,
                apic_id: Some(1),
                millis,
            });
        })
    };
    let by = move |kind, millis, patience| by_guest("start_faults", kind, millis, patience);
    let in_time = |kind| {
        by(kind, 300, 60_000).also(|report| {
            let mut online = report.events.iter().filter_map(|event| match event {
                Event::Online { micros, .. } => Some(*micros),
                _ => None,
            });
            let micros = online.next().context("no `Online`")?;
            ensure!(
                micros >= 300_000,
                "online after {micros} us: nothing delayed it"
            );
            counts(report, 2, 2, &[])
        })
    };
    let too_late = |kind| {
        by(kind, 700, 300).also(|report| {
            counts(report, 1, 2, &[1])?;
            is_told_once(report)
        })
    };
    // It comes when the BSP has interrupts off, and panics.
    let before_a_panic =
        by_guest("panic_bsp", FaultKind::Late, 2_000, 300).named("late_before_a_panic");
    let before_a_panic = before_a_panic.expecting(move |report| {
        let panicked = matches!(report.outcome, Outcome::Panicked { .. });
        ensure!(panicked, "{}", report.outcome);
        is_told_once(report)
    });
    let (late, slow) = (FaultKind::Late, FaultKind::Slow);
    [
        in_time(late),
        too_late(late),
        in_time(slow),
        too_late(slow),
        before_a_panic,
    ]
}

fn is_told_once(report: &Report) -> Result<()> {
    let late = report.events.iter();
    let late = late.filter(|event| **event == Event::Late { apic_id: 1 });
    ensure!(late.count() == 1, "not told once that it came late");
    Ok(())
}

/// All of them panic, and are reset and given up long before they have said so: who is in the midst of a line keeps
/// nobody else from the log.
fn reset_while_they_log() -> Case {
    let case = Case::kernel("16", 1).named("reset_while_they_log");
    let case = case.options(|options| {
        options.job = Job::BringUp;
        options.patience = 1;
        options.fault = Some(Fault {
            kind: FaultKind::Panic,
            apic_id: None,
            millis: 0,
        });
    });
    let ids: Vec<u32> = (1..16).collect();
    case.expecting(move |report| {
        ensure!(
            matches!(report.outcome, Outcome::Failed { .. }),
            "{}",
            report.outcome
        );
        counts(report, 1, 16, &ids)
    })
}

fn fault(smp: &str, kind: FaultKind, apic_id: Option<u32>) -> Case {
    let fault = Fault {
        kind,
        apic_id,
        millis: 0,
    };
    let name = fault.to_string().replace(':', "_on_");
    let case = Case::new("start_faults", smp).named(&name);
    // A CPU that faults says so; one that its host keeps from running is not to be given up before.
    case.options(|options| (options.fault, options.patience) = (Some(fault), 600_000))
}

/// Each of these CPUs has gone wrong in this manner, so many times.
fn went_wrong(
    report: &Report,
    ids: &[u32],
    at_least: usize,
    stage: Stage,
    vector: Option<u8>,
) -> Result<()> {
    let faults: Vec<Faulted> = report
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Faulted(fault) => Some(*fault),
            _ => None,
        })
        .collect();
    for fault in &faults {
        let as_expected = (fault.stage, fault.vector) == (stage as u8, vector);
        ensure!(as_expected && ids.contains(&fault.apic_id), "{fault:?}");
        // Before a CPU has its own stack, nobody can know the address.
        let known = stage == Stage::Rust && vector.is_some();
        ensure!((fault.address != 0) == known, "{fault:?}");
    }
    for id in ids {
        let of_it = faults.iter().filter(|fault| fault.apic_id == *id);
        ensure!(of_it.count() >= at_least, "APIC {id}: {faults:?}");
    }
    Ok(())
}

/// What the kernel says of its CPUs after the start.
fn counts(report: &Report, expected: u32, of: u32, gone: &[u32]) -> Result<()> {
    cpus::are_online(report, expected, of)?;
    cpus::are_missing(report, gone)
}
