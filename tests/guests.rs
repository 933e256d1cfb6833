//! All guests: the table of scenarios and machines. A guest that needs more than a line is a
//! module.

mod bring_up;
mod clock;
mod firmware;
mod foreign;
mod layout;
mod monitor_nmi;
mod rig;
mod start_faults;
mod storm;
mod timeline;
mod topology;
mod uefi;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use boot::version::Version;
use boot::{Accel, Action, Machine, Report, Trigger, qemu};
use serde_json::json;
use tests::Case;
use tests::judge::log_has;

/// Nine CPUs, whose APIC IDs are not their indices: three cores take two bits.
const SPARSE: &str = "9,sockets=3,cores=3,threads=1";

/// A CPU by itself, a pair, more than the host has, and far more.
const SIZES: &[&str] = &["1", "2", "4", SPARSE, "64"];

/// CPUs and seeds. With these, an instruction takes 64 or 128 ns: with less, the time that a test
/// waits for passes slowly.
const SEEDS: [(&str, u32); 3] = [("2", 5), ("2", 12), ("4", 6)];

fn main() -> ExitCode {
    let scenarios = vec![
        // First: its loader is built while others run.
        ("uefi", uefi::cases()),
        ("barrier", barrier()),
        ("bring_up", bring_up::cases()),
        ("clock", clock::cases()),
        ("counters", Case::matrix("counters", SIZES)),
        ("firmware", firmware::cases()),
        ("heap_and_log", heap_and_log()),
        ("hotplug", hotplug()),
        ("images", images()),
        ("ipi", with_seeds("ipi", SIZES)),
        ("monitor_nmi", monitor_nmi::cases()),
        ("nmi", nmi()),
        ("races", with_seeds("races", SIZES)),
        ("replay", replay()),
        ("rig", rig::cases()),
        ("single_step", Case::matrix("single_step", &["1", "2"])),
        ("start_faults", start_faults::cases()),
        ("storm", storm::cases()),
        ("timeline", timeline::cases()),
        ("topology", topology::cases()),
        ("waiting", with_seeds("waiting", SIZES)),
    ];
    let mut others = layout::trials();
    others.extend(foreign::trials());
    tests::main(scenarios, others)
}

/// These machines, where CPUs run at the same time, and small ones with a seed, where a failure is
/// found again.
fn with_seeds(scenario: &str, machines: &[&str]) -> Vec<Case> {
    let mut cases = Case::matrix(scenario, machines);
    for (smp, seed) in SEEDS {
        cases.push(Case::new(scenario, smp).seeded(seed));
    }
    cases
}

/// Runs with a seed: the guest does the same each time, byte for byte.
fn replay() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, smp) in [(3, "2"), (5, "8")] {
        let storm = Case::kernel(smp, 1).named(&format!("storm_smp_{smp}"));
        cases.push(storm.replayed(seed));
        cases.extend(["ipi", "races", "waiting"].map(|scenario| {
            let case = Case::new(scenario, smp).named(&format!("{scenario}_smp_{smp}"));
            case.replayed(seed)
        }));
    }
    cases
}

fn barrier() -> Vec<Case> {
    // On many virtual CPUs another one may be as slow, and be named in its place.
    let silent_cpu_is_named = |report: &Report, cpus: u32| {
        let named = |line: &&String| line.contains("has not answered for 1000 ms");
        let lines: Vec<_> = report.lines.iter().filter(named).collect();
        ensure!(lines.is_empty() == (cpus == 1), "named: {lines:?}");
        Ok(())
    };
    let cases = with_seeds("barrier", SIZES).into_iter().map(|case| {
        let cpus = case.shape().cpus;
        case.also(move |report| silent_cpu_is_named(report, cpus))
    });
    cases.collect()
}

fn heap_and_log() -> Vec<Case> {
    let cases = Case::matrix("heap_and_log", SIZES).into_iter().map(|case| {
        let cpus = case.shape().cpus;
        case.also(move |report| every_line_is_there_once_and_whole(report, cpus))
    });
    cases.collect()
}

fn every_line_is_there_once_and_whole(report: &Report, cpus: u32) -> Result<()> {
    let of_a_cpu = |cpu| {
        let thread = (0..10).map(move |number| ("thread", number, cpu));
        let handler = (0..3).map(move |number| ("handler", number, cpu));
        thread.chain(handler)
    };
    for (writer, number, cpu) in (0..cpus).flat_map(of_a_cpu) {
        let text = format!("{writer} line {number} of cpu {cpu} abcdefghijklmnopqrstuvwxyz");
        let line = format!("[CPU {cpu}] {text}");
        let times = report.lines.iter().filter(|&other| *other == line).count();
        ensure!(times == 1, "{line:?} is there {times} times");
    }
    Ok(())
}

fn hotplug() -> Vec<Case> {
    let case = |smp| Case::new("hotplug", smp);
    let mut cases = with_seeds("hotplug", &["2", "8", "6,sockets=2,cores=3,threads=1"]);
    // Intel's: their firmware may forbid NX. QEMU clears an AP's MTRRs at INIT; that it is QEMU, it
    // does not say here.
    let intel = case("3").cpu("max,vendor=GenuineIntel,-hypervisor");
    cases.push(intel.named("intel").boot(|boot| boot.accel(Accel::Tcg)).also(|report| {
        let differ = "CPUs whose MTRRs differ from the BSP's: 2, CPU 1 in MSR 0x2ff";
        log_has(report, &[differ])
    }));
    cases.push(case("3").on(Machine::Pc));
    cases.push(case("3").on(Machine::Microvm));
    for machine in [Machine::Q35, Machine::Pc] {
        let plugged = json!({
            "driver": "max-x86_64-cpu", "id": "plugged",
            "socket-id": 0, "die-id": 0, "core-id": 2, "thread-id": 0,
        });
        let when = Trigger::TestStart("a_cpu_is_plugged_in".to_owned());
        let case = case("2,maxcpus=4").on(machine);
        let case = case.boot(|boot| boot.act(Action::qmp(when, "device_add", plugged)));
        cases.push(case.also(|report| log_has(report, &["CPU 2 (APIC 2) is online"])));
    }
    cases
}

fn images() -> Vec<Case> {
    let cases = Case::matrix("images", &["1", "8"]).into_iter();
    cases.map(|case| case.image("test-image")).collect()
}

fn nmi() -> Vec<Case> {
    let mut cases = with_seeds("nmi", SIZES);
    // TCG lets an interrupt in between blocks of instructions only, so an acquire that took several
    // steps would look like one. This lets it in after each instruction. Later versions have no
    // such option.
    let version = qemu::find(None).and_then(|program| qemu::version(&program));
    if version.is_ok_and(|version| version < Version { major: 9, minor: 0 }) {
        let case = Case::new("nmi", "1").named("singlestep_smp_1");
        cases.push(case.qemu(["-singlestep"]));
    }
    cases
}
