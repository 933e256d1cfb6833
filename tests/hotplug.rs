//! CPUs go offline and come back, and are plugged in while the kernel runs.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use boot::{Machine, Report};
use serde_json::json;
use tests::Case;
use tests::judge::log_has;

fn main() -> ExitCode {
    let guest = "hotplug";
    let mut cases = Case::matrix(guest, &[2, 4, 8]);
    cases.push(Case::new(guest, "6,sockets=2,cores=3,threads=1"));
    // Intel's: their firmware may forbid NX. QEMU clears an AP's MTRRs at INIT; that it is QEMU, it does not say here.
    let intel = Case::new(guest, "3").cpu("max,vendor=GenuineIntel,-hypervisor");
    let intel = intel.named("intel").tcg().also(|report| {
        log_has(
            report,
            &["CPUs whose MTRRs differ from the BSP's: 2, CPU 1 in MSR 0x2ff"],
        )
    });
    cases.push(intel);
    cases.push(Case::new(guest, "3").on(Machine::Pc));
    cases.push(Case::new(guest, "3").on(Machine::Microvm));
    for machine in [Machine::Q35, Machine::Pc] {
        let case = Case::new(guest, "2,maxcpus=4").on(machine);
        let plugged = json!({
            "driver": "max-x86_64-cpu", "id": "plugged",
            "socket-id": 0, "die-id": 0, "core-id": 2, "thread-id": 0,
        });
        let case = case.when_test("a_cpu_is_plugged_in", "device_add", plugged);
        cases.push(case.also(it_was_plugged_in));
    }
    tests::main(guest, cases)
}

fn it_was_plugged_in(report: &Report) -> Result<()> {
    let said = report.lines.iter();
    let said = said.filter(|line| line.contains("CPU 2 (APIC 2) is online"));
    ensure!(said.count() > 0, "the log does not tell of the new CPU");
    Ok(())
}
