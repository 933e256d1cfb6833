//! Several waiters for one object, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "two_waiters",
        Case::matrix("two_waiters", &[1, 2, 3, 4, 8, 16, 64]),
    )
}
