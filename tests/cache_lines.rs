//! What each variant touches is what the model says, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "cache_lines",
        Case::matrix("cache_lines", &[1, 2, 3, 8, 64, 255]),
    )
}
