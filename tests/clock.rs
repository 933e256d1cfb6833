//! The source of the clock's rate, on machines that lack a counter; see the guest of the same name.

use anyhow::{Context, Result, ensure};
use boot::{Accel, MachineType, Report};
use protocol::event::{ASSUMED, Event};
use protocol::options::ClockSource::{self, Cpuid, Hpet, Pit, PmTimer};
use tests::judge::{log_has, unfit};
use tests::{Case, events};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let q35 = [Pit, Hpet, PmTimer];
    for smp in ["1", "16"] {
        cases.push(by("pit", &q35, Case::new("clock", smp)));
    }
    // The choice of `auto` as the machine has less and less. A second `-machine` adds to the first.
    for (machine, without, source, there) in [
        (MachineType::Q35, "pit=off", "hpet", &[Hpet, PmTimer][..]),
        (MachineType::Q35, "pit=off,hpet=off", "pm-timer", &[PmTimer]),
        (MachineType::Pc, "hpet=off", "pit", &[Pit, PmTimer]),
        (MachineType::Pc, "pit=off", "hpet", &[Hpet, PmTimer]),
        (MachineType::Pc, "pit=off,hpet=off", "pm-timer", &[PmTimer]),
        // SeaBIOS then makes tables of its own, on pc none. One CPU, since they list no other.
        (MachineType::Q35, "acpi=off", "pit", &q35),
        (MachineType::Pc, "acpi=off", "pit", &[Pit]),
        (MachineType::Pc, "acpi=off,pit=off", ASSUMED, &[]),
        (MachineType::Microvm, "pit=on", "pit", &[Pit]),
        (MachineType::Microvm, "pit=off", ASSUMED, &[]),
    ] {
        let smp = if without.contains("acpi") { "1" } else { "2" };
        let name = format!("{machine}_{}", without.replace(['=', ','], "_"));
        let case = Case::new("clock", smp).on(machine).named(&name);
        cases.push(by(source, there, case.qemu(["-machine", without])));
    }
    for source in q35 {
        let case = Case::new("clock", "2").named(&format!("{}_forced", source.name()));
        cases.push(by(source.name(), &q35, wanting(source, case)));
    }
    // A source that TCG does not have, and one that was taken away.
    for (machine, without, source) in [
        (MachineType::Q35, "pit=on", Cpuid),
        (MachineType::Q35, "pit=off", Pit),
        (MachineType::Q35, "hpet=off", Hpet),
        (MachineType::Pc, "acpi=off", PmTimer),
        (MachineType::Microvm, "pit=off", Hpet),
    ] {
        let name = format!("{machine}_{}_forced_but_absent", source.name());
        let case = Case::new("clock", "1").on(machine).named(&name);
        let case =
            wanting(source, case).qemu(["-machine", without]).boot(|boot| boot.accel(Accel::Tcg));
        cases.push(case.expecting(move |report| is_unfit(report, source)));
    }
    // The only accelerator that has the leaf. QEMU shows it if the counter's rate cannot change. A
    // KVM that interprets kernel code lacks the register of `arch-capabilities`.
    let cpu = "host,vmware-cpuid-freq=on,+invtsc,arch-capabilities=off";
    let case = Case::new("clock", "1").kvm().qemu(["-cpu", cpu]);
    let there = [Cpuid, Pit, Hpet, PmTimer];
    cases.push(by(Cpuid.name(), &there, case));
    cases
}

fn wanting(source: ClockSource, case: Case) -> Case {
    case.options(|options| options.clock = source)
}

/// The clock's rate comes from `source`, and the guest finds those `there`.
fn by(source: &'static str, there: &[ClockSource], case: Case) -> Case {
    let there = there.to_vec();
    case.also(move |report| {
        let clock = events!(report, Event::Clock { source, hz } => (source, *hz)).next();
        let (found, hz) = clock.context("the kernel did not say where the rate comes from")?;
        // On a busy host the CPU may have been away for long in each window.
        let is_doubtful = log_has(report, &["measured against the 8254, is doubtful"]).is_ok();
        let is_next = is_doubtful && there.iter().any(|source| source.name() == found);
        ensure!(found == source || is_next, "the rate comes from {found}");
        ensure!(source != ASSUMED || hz == 1_000_000_000, "taken for {hz} Hz");
        let warned = log_has(report, &["RATE UNKNOWN"]).is_ok();
        ensure!(warned == (source == ASSUMED), "warned: {warned}");
        for source in [Cpuid, Pit, Hpet, PmTimer] {
            let text = format!("there is {}: ", source.name());
            let line = report.lines.iter().find(|line| line.contains(&text));
            let is_there = line.is_some();
            ensure!(is_there == there.contains(&source), "{}: {is_there}", source.name());
            if let Some(line) = line {
                apic_timer_is_qemus(line)?;
            }
        }
        Ok(())
    })
}

/// The APIC's timer runs at 1 GHz, QEMU's and KVM's choice, whatever the counter's rate. To 5 %.
fn apic_timer_is_qemus(line: &str) -> Result<()> {
    let rate = line.split_once("APIC timer ").map_or("", |(_, rate)| rate);
    let rate = rate.trim_end_matches(" Hz").parse::<u64>();
    let rate = rate.with_context(|| format!("no rate of the APIC's timer in {line:?}"))?;
    ensure!((950_000_000..1_050_000_000).contains(&rate), "{line}");
    Ok(())
}

fn is_unfit(report: &Report, wanted: ClockSource) -> Result<()> {
    let wanted = format!("clock={}: this machine has no such source", wanted.name());
    unfit(report, &[&wanted])
}
