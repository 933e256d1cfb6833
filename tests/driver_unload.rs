//! A driver is unloaded under fire, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "driver_unload",
        Case::matrix("driver_unload", &[1, 2, 3, 4, 8, 16, 64]),
    )
}
