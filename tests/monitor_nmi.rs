//! NMIs that QEMU's monitor injects, see the guest of the same name.

use anyhow::{Context, Result, ensure};
use boot::{Action, Report, Trigger};
use protocol::options::{ClockSource, StartMode};
use tests::{Case, cpus};

pub(crate) fn cases() -> Vec<Case> {
    let cases = [1, 2, 8].map(|cpus| {
        let case = asked(Case::new("monitor_nmi", &cpus.to_string()), cpus);
        case.also(move |report| pins_are(report, &vec![NMI; cpus as usize]))
    });
    // By KVM's APIC, too, which is stricter about its pins than TCG's.
    let kvm = Case::new("monitor_nmi", "2").kvm().inject_nmis(Trigger::FirstTest);
    let cases = cases.into_iter().chain([kvm]).chain(from_the_start());
    cases.chain(damaged_tables()).collect()
}

/// The state of a CPU's LINT1: an NMI's, active high, or masked.
const NMI: &str = "0x00000400";
const MASKED: &str = "0x00010000";

/// As real firmware has it: NMI entries (a UID and a pin each) that do not cover every CPU, and the
/// resulting pins of three CPUs. The rest of the tables is damaged as well.
fn damaged_tables() -> impl Iterator<Item = Case> {
    let tables = [
        ("without_nmi_entries", " ", [NMI, MASKED, MASKED]),
        ("lints_that_are_none", "255.237 0.6 1.115", [NMI, MASKED, MASKED]),
        ("uids_from_1_on", "1.1 2.1 3.1", [NMI, NMI, NMI]),
        ("the_last_alone", "2.1", [NMI, MASKED, NMI]),
    ];
    tables.into_iter().map(|(name, entries, pins)| {
        let file = format!("name=opt/nmi,string={entries}");
        let case = Case::new("monitor_nmi", "3").named(name);
        let case = asked(case.qemu(["-fw_cfg", &file]), 3);
        // The HPET is found behind the damage, too, or the guest ends.
        let case = case.options(|options| options.clock = ClockSource::Hpet);
        case.also(move |report| {
            pins_are(report, &pins)?;
            let flaws = [
                "the checksum of RSDP at ",
                "there is no usable XSDT: the RSDT is used",
                "there is no table at 0xfffffff0: skipped",
                "there is no table at 0x0: skipped",
                "the checksum of RSDT at ",
                "the checksum of APIC at ",
                "(type 4) has an impossible length, 0",
            ];
            let found = report.lines.iter().filter(|line| line.contains("acpi: "));
            let mut found: Vec<_> = found.collect();
            found.retain(|line| !line.contains("the MADT has no valid NMI entry"));
            for flaw in flaws {
                let lines = found.iter().filter(|line| line.contains(flaw));
                ensure!(lines.count() == 1, "not once: {flaw}: {found:#?}");
            }
            ensure!(found.len() == flaws.len(), "more than that: {found:#?}");
            Ok(())
        })
    })
}

/// With NMIs, and QEMU asked for each local APIC's state: answers are in [`Report::answers`].
fn asked(case: Case, cpus: u32) -> Case {
    let ask = |id| Action::ask(Trigger::FirstTest, &format!("info lapic {id}"));
    let asked = (0..cpus).fold(case, |case, id| case.boot(|boot| boot.act(ask(id))));
    asked.inject_nmis(Trigger::FirstTest)
}

/// From before the first CPU starts. The guest does not end before each CPU has taken many.
fn from_the_start() -> [Case; 2] {
    [4, 16].map(|cpus: u32| {
        let case = Case::new("monitor_nmi", &cpus.to_string()).named(&format!("serial_smp_{cpus}"));
        let case = case.options(|options| options.start = StartMode::Serial);
        let case = case.inject_nmis(Trigger::Hello);
        case.also(move |report| cpus::are_online(report, cpus, cpus).map(drop))
    })
}

/// According to QEMU, each CPU's LINT0 is masked, and its LINT1 as it should be.
fn pins_are(report: &Report, lint1: &[&str]) -> Result<()> {
    ensure!(report.answers.len() == lint1.len(), "{:?}", report.answers);
    for (answer, lint1) in report.answers.iter().zip(lint1) {
        let pin = |name: &str| {
            let mut words = answer.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).with_context(|| format!("no {name} in {answer}"))
        };
        let found = [pin("LVT0")?, pin("LVT1")?];
        ensure!(found == [MASKED, lint1], "{found:?}: {answer}");
    }
    Ok(())
}
