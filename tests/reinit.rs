//! The life cycle again and again, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main("reinit", Case::matrix("reinit", &[1, 2, 3, 4, 8, 16, 64]))
}
