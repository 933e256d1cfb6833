//! Refusals, exact waits and early frees, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "rundown_basic",
        Case::matrix("rundown_basic", &[1, 2, 3, 4, 8, 16, 64]),
    )
}
