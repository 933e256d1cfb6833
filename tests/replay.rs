//! Runs with a seed: what the guest does, byte for byte, is the same each time.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    let guests = ["rundown_basic", "cross_cpu_release", "cancel"];
    let mut cases = Vec::new();
    for (seed, smp) in [(3, "2"), (5, "8")] {
        cases.push(
            Case::kernel(smp, 1)
                .named(&format!("storm_smp_{smp}"))
                .replayed(seed),
        );
        cases.extend(guests.map(|guest| {
            let case = Case::new(guest, smp).named(&format!("{guest}_smp_{smp}"));
            case.replayed(seed)
        }));
    }
    tests::main("replay", cases)
}
