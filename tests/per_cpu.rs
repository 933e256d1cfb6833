//! The per-CPU variant, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main("per_cpu", Case::matrix("per_cpu", &[1, 2, 3, 4, 8, 16, 64]))
}
