//! Per-CPU counters, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "counters",
        Case::matrix("counters", &[1, 2, 3, 4, 8, 16, 64]),
    )
}
