//! Each CPU's progress to online, as the kernel reports it and `cargo boot --timeline` draws it.

use anyhow::{Context, Result, ensure};
use boot::Report;
use protocol::event::Event;
use protocol::options::{Job, StartMode};
use tests::Case;

/// A pause that no CPU asks for, where each CPU has its own interrupts.
const PAUSE_MS: u32 = 30;

pub(crate) fn cases() -> Vec<Case> {
    let case = |cpus: u32, start: StartMode| {
        let case = Case::kernel(&cpus.to_string(), 1).options(|options| {
            options.job = Job::Timeline;
            options.start = start;
            options.init_pause = (start == StartMode::Each).then_some(PAUSE_MS);
        });
        case.named(&format!("{}_smp_{cpus}", start.name()))
            .also(move |report| whole(report, cpus, start))
    };
    let cases = vec![
        case(1, StartMode::Broadcast),
        case(2, StartMode::Broadcast),
        case(8, StartMode::Broadcast),
        case(64, StartMode::Broadcast),
        case(8, StartMode::Each),
        case(8, StartMode::Serial),
    ];
    cases
}

/// The BSP's steps and all other CPUs' phases are there before the overall result, and in order.
fn whole(report: &Report, cpus: u32, start: StartMode) -> Result<()> {
    let place = |wanted: fn(&Event<'_>) -> bool| report.events.iter().position(wanted);
    let online = place(|event| matches!(event, Event::Online { .. })).context("no `Online`")?;
    let steps = place(|event| matches!(event, Event::Steps(_))).context("no `Steps`")?;
    let others = &report.events[steps + 1..online];
    let Event::Steps(steps) = &report.events[steps] else {
        unreachable!("just found");
    };
    ensure!(steps.prepared_ns <= steps.sipi_ns, "{steps:?}");
    let pause_ns = u64::from(PAUSE_MS) * 1_000_000;
    ensure!(start != StartMode::Each || steps.sipi_ns >= pause_ns, "{steps:?}");
    let (second, all) = (steps.second_sipi_ns, steps.all_ns);
    ensure!(second == 0 || (steps.sipi_ns..=all).contains(&second), "{steps:?}");
    ensure!((second == 0) == (steps.seconds == 0), "{steps:?}");

    let stamps = others.iter().filter_map(|event| match event {
        Event::Stamps(stamps) => Some(stamps),
        _ => None,
    });
    let mut next = 1;
    for cpu in stamps {
        ensure!(cpu.index == next, "CPU {next} is left out");
        ensure!(cpu.attempts >= 1, "{cpu:?}");
        // A CPU's own clock never runs backwards; two CPUs' clocks may differ.
        ensure!(cpu.at_ns[0] > 0 && cpu.at_ns.is_sorted(), "{cpu:?}");
        next += 1;
    }
    ensure!(next == cpus, "CPU {next} is left out");
    Ok(())
}
