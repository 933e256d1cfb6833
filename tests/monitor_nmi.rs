//! NMIs that QEMU's monitor injects, see the guest of the same name.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use tests::Case;

fn main() -> ExitCode {
    let cases = [1, 2, 3, 8].map(|cpus| {
        // Under TCG they share few host CPUs; these are to do something else, too.
        let every = Duration::from_millis(1) * u32::max(cpus, 2);
        let case = Case::new("monitor_nmi", &cpus.to_string()).inject_nmis(every);
        case.also(|report| {
            // What each CPU has counted for itself, at the least: the guest's `NMIS` in each of its
            // four tests of variants, and four times as many in the last.
            let injected = report.done[0];
            ensure!(injected >= 8 * 50, "only {injected} NMIs");
            Ok(())
        })
    });
    // By KVM's APIC, too, which is stricter about its pins than TCG's.
    let kvm = Case::new("monitor_nmi", "2").kvm();
    let kvm = kvm.inject_nmis(Duration::from_millis(20));
    tests::main("monitor_nmi", cases.into_iter().chain([kvm]).collect())
}
