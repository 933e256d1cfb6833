//! Futures that wait for drains, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "async_drain",
        Case::matrix("async_drain", &[1, 2, 3, 4, 8, 16, 64]),
    )
}
