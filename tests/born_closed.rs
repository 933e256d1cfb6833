//! Objects that are born closed, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main(
        "born_closed",
        Case::matrix("born_closed", &[1, 2, 3, 4, 8, 16, 64]),
    )
}
