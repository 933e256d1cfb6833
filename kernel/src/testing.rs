//! For guests that are tests: runs them one by one and tells the host.

use protocol::event::Event;

use crate::{ExitCode, Machine, emit, log};

/// One test: its name, and the function, which panics if it fails.
pub type Test = (&'static str, fn(&'static Machine));

/// Runs the tests in order. The host is told how many there are before the first, and each one's
/// start, so that it can name the one that panics or hangs.
pub fn run(machine: &'static Machine, tests: &[Test]) -> ExitCode {
    emit(&Event::TestPlan {
        tests: tests.len() as u32,
    });
    for (name, test) in tests {
        emit(&Event::TestStart {
            name: (*name).into(),
        });
        log!("test {name} ...");
        test(machine);
        log!("test {name} ... ok");
        emit(&Event::TestPass {
            name: (*name).into(),
        });
    }
    ExitCode::Passed
}
