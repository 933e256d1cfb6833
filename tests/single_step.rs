//! The per-CPU variant interrupted at every instruction boundary, see the guest of the same name.

use std::process::ExitCode;

use tests::Case;

fn main() -> ExitCode {
    tests::main("single_step", Case::matrix("single_step", &[1, 2, 3, 8]))
}
