//! Guards that are released by interrupt handlers, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "interrupt_release",
        Case::matrix("interrupt_release", &[1, 2, 3, 4, 8, 16, 64]),
    )
}
