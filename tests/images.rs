//! An image that is loaded while the kernel runs, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    let cases = Case::matrix("images", &[1, 2, 3, 8]);
    let cases = cases.into_iter().map(|case| case.image("test-image"));
    tests::main("images", cases.collect())
}
