//! A guest that finds something wrong: it ends with `Failed`, without a panic.
#![no_std]
#![no_main]

use kernel::Machine;
use protocol::exit::ExitCode;

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    match kernel::testing::run(machine, &[("passes", |_| ())]) {
        ExitCode::Passed => ExitCode::Failed,
        other => other,
    }
}
