//! Deadlines, polling, and who is woken, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main("waiting", Case::matrix("waiting", &[1, 2, 3, 4, 8, 16, 64]))
}
