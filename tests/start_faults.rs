//! Faults while CPUs start, one after the other: each is reported, with the CPU's name and the
//! place, the CPU is left out, and the rest goes on; or the kernel ends with one report.

use anyhow::{Result, ensure};
use boot::{Outcome, Report};
use bringup::Stage;
use protocol::event::Event;
use protocol::options::{Fault, FaultKind, Job};
use protocol::start::Faulted;
use tests::judge::{log_has, trouble_is, unfit};
use tests::{Case, cpus, events};

/// Three cores take two bits of an APIC ID: CPU 4 has the ID 5.
const SPARSE: &str = "6,sockets=2,cores=3,threads=1";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = faulty();
    cases.extend(late());
    // An AP that faults once comes at the second attempt: one of them, all of them.
    cases.push(fault(SPARSE, FaultKind::Once, Some(5)).also(|report| {
        went_wrong(report, &[5], 1, Stage::Rust, Some(6))?;
        counts(report, 6, 6, &[])
    }));
    cases.push(fault("8", FaultKind::Once, None).also(|report| {
        let ids: Vec<u32> = (1..8).collect();
        went_wrong(report, &ids, 1, Stage::Rust, Some(6))?;
        counts(report, 8, 8, &[])
    }));
    // The BSP is not started, and APIC ID 77 is not there: passed without its fault, such a run
    // would prove nothing.
    for apic_id in [0, 77] {
        let nowhere = fault("2", FaultKind::Real, Some(apic_id));
        let why = "no CPU that is started by another has this APIC ID";
        cases.push(nowhere.expecting(move |report| unfit(report, &[why])));
    }
    // A CPU that is not there is looked for twice; that does not concern the others.
    let ghost = Case::new("start_faults", "4").ghost(9);
    cases.push(ghost.also(|report| counts(report, 4, 5, &[9])));
    cases.push(reset_while_they_log());
    cases.push(fault("4", FaultKind::Tsc, Some(3)).also(|report| {
        counts(report, 4, 4, &[])?;
        log_has(report, &["the clock of CPU 3 is behind the BSP's by"])
    }));
    cases.push(fault("4", FaultKind::Bsp, None).expecting(|report| {
        once(report, |event| matches!(event, Event::Panic { .. }))?;
        trouble_is(report, &["CPU 0", "on the BSP, while others start"])
    }));
    // A CPU that is there, but is not listed: between the others, and after them.
    for (smp, id) in [(SPARSE, 4), ("4", 3)] {
        let case = Case::new("start_faults", smp).named(&format!("hide_{id}_of_{}", &smp[..1]));
        let case = case.options(|options| options.hide = Some(id));
        let is_it = move |event: &Event<'_>| *event == Event::Unlisted { apic_id: id };
        cases.push(case.also(move |report| {
            cpus::are_missing(report, &[])?;
            once(report, is_it)
        }));
    }
    cases
}

/// CPUs that fault at every attempt, in every stage.
fn faulty() -> Vec<Case> {
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
        cases.push(fault(SPARSE, kind, Some(5)).also(move |report| {
            // Twice by itself, and again when the guest calls it: each call is two attempts.
            went_wrong(report, &[5], 4, stage, vector)?;
            counts(report, 5, 6, &[5])
        }));
        // All of them at once: they share what exceptions push.
        cases.push(fault("8", kind, None).also(move |report| {
            let ids: Vec<u32> = (1..8).collect();
            went_wrong(report, &ids, 2, stage, vector)?;
            counts(report, 1, 8, &ids)
        }));
    }
    let stack = fault("4", FaultKind::Stack, Some(2)).named("the_stack_that_ran_over_is_named");
    cases.push(stack.also(|report| {
        counts(report, 3, 4, &[2])?;
        log_has(report, &["stack overflow: main stack of CPU 2"])
    }));
    cases.push(fault("4", FaultKind::Memory, None).also(|report| {
        counts(report, 1, 4, &[1, 2, 3])?;
        log_has(report, &["usable pages below 1 MiB side by side"])
    }));
    cases
}

/// CPUs that come later than the others, but in time; and those that come when they have been given
/// up: in the trampoline, and when they have shown up already.
fn late() -> Vec<Case> {
    let by = |scenario, kind: FaultKind, millis, timeout| {
        let name = if kind == FaultKind::Slow { "slow" } else { "late" };
        let case = Case::new(scenario, "2").named(&format!("{name}_by_{millis}_ms"));
        case.options(move |options| {
            options.start_timeout = timeout;
            options.fault = Some(Fault { kind, apic_id: Some(1), millis });
        })
    };
    let is_late = |event: &Event<'_>| *event == Event::Late { apic_id: 1 };
    let mut cases = Vec::new();
    for kind in [FaultKind::Late, FaultKind::Slow] {
        cases.push(by("start_faults", kind, 300, 60_000).also(|report| {
            let micros = cpus::are_online(report, 2, 2)?;
            ensure!(micros >= 300_000, "online after {micros} us: nothing delayed it");
            cpus::are_missing(report, &[])
        }));
        cases.push(by("start_faults", kind, 700, 300).also(move |report| {
            counts(report, 1, 2, &[1])?;
            once(report, is_late)
        }));
    }
    // It comes when the BSP has interrupts off, and panics.
    let case = by("panic_bsp", FaultKind::Late, 2_000, 300).named("late_before_a_panic");
    cases.push(case.expecting(move |report| {
        trouble_is(report, &["panicked"])?;
        once(report, is_late)
    }));
    cases
}

/// There is one such event.
fn once(report: &Report, is_it: impl Fn(&Event<'_>) -> bool) -> Result<()> {
    let found = report.events.iter().filter(|event| is_it(event)).count();
    ensure!(found == 1, "reported {found} times, not once");
    Ok(())
}

/// All of them panic, and are reset and given up long before they have said so: a CPU that is reset
/// within a line keeps no other from the log.
fn reset_while_they_log() -> Case {
    let case = Case::kernel("16", 1).named("reset_while_they_log");
    let case = case.options(|options| {
        options.job = Job::BringUp;
        options.start_timeout = 1;
        options.fault = Some(Fault { kind: FaultKind::Panic, apic_id: None, millis: 0 });
    });
    let ids: Vec<u32> = (1..16).collect();
    case.expecting(move |report| {
        let failed = matches!(report.outcome, Outcome::Failed { .. });
        ensure!(failed, "{}", report.outcome);
        counts(report, 1, 16, &ids)
    })
}

fn fault(smp: &str, kind: FaultKind, apic_id: Option<u32>) -> Case {
    let fault = Fault { kind, apic_id, millis: 0 };
    let name = fault.to_string().replace(':', "_on_");
    let case = Case::new("start_faults", smp).named(&name);
    // A CPU that faults says so; one that its host keeps from running is not to be given up before.
    case.options(|options| (options.fault, options.start_timeout) = (Some(fault), 600_000))
}

/// Each of these CPUs has faulted in this manner, so many times.
fn went_wrong(
    report: &Report,
    ids: &[u32],
    at_least: usize,
    stage: Stage,
    vector: Option<u8>,
) -> Result<()> {
    let faults: Vec<Faulted> = events!(report, Event::Faulted(fault) => *fault).collect();
    for fault in &faults {
        let as_expected = (fault.stage, fault.vector) == (stage as u8, vector);
        ensure!(as_expected && ids.contains(&fault.apic_id), "{fault:?}");
        // Before a CPU has its own stack, the address is unknown.
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
