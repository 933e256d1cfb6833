//! Devices that firmware leaves live, and unexpected interrupts: see the guest of the same name.

use anyhow::{Result, ensure};
use boot::{Accel, MachineType, Report, Trigger};
use tests::Case;

use crate::SPARSE;

pub(crate) fn cases() -> Vec<Case> {
    let case = |smp| {
        let armed = "name=opt/early_nmi,string=yes";
        Case::new("firmware", smp).qemu(["-fw_cfg", armed])
    };
    let mut cases = Vec::new();
    for machine in [MachineType::Q35, MachineType::Pc, MachineType::Microvm] {
        for smp in ["1", "2", SPARSE] {
            let case = case(smp).on(machine).boot(|boot| boot.accel(Accel::Tcg));
            let cpus = case.shape().cpus;
            cases.push(case.also(move |report| {
                // Each of these is logged once by each CPU, however often it has happened.
                logged(report, cpus, "an unexpected NMI (port 0x61: 0x")?;
                logged(report, cpus, "an unexpected interrupt, vector 0x70")?;
                logged(report, cpus, "an unexpected interrupt, vector 0x27")?;
                let hpets_missing = u32::from(machine == MachineType::Microvm);
                logged(report, hpets_missing, "has no HPET")?;
                // Of all CPUs, one logs it.
                logged(report, 1, "access to a register that is not there")
            }));
        }
    }
    // The board's NMIs come to every CPU while it starts and in all of the above.
    for smp in ["2", "8"] {
        let case = case(smp).named(&format!("nmi_storm_smp_{smp}"));
        let cpus = case.shape().cpus;
        let case = case.inject_nmis(Trigger::Hello);
        cases.push(case.also(move |report| logged(report, cpus, "an unexpected NMI (port 0x61: ")));
    }
    cases
}

/// Exactly `times` lines of the log have these words.
fn logged(report: &Report, times: u32, words: &str) -> Result<()> {
    let lines = report.lines.iter().filter(|line| line.contains(words));
    let lines: Vec<_> = lines.collect();
    ensure!(lines.len() == times as usize, "{words:?} is not logged {times} times: {lines:?}");
    Ok(())
}
