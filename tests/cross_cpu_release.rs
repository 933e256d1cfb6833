//! Guards that are released on other CPUs, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "cross_cpu_release",
        Case::matrix("cross_cpu_release", &[1, 2, 3, 4, 8, 16, 64]),
    )
}
