//! For guests that are tests: runs them one by one, reports to the host, does what no kernel would.

use protocol::{event::Event, exit::ExitCode};

use crate::{clock, interrupts, log, log::emit, machine::Machine};

pub use crate::interrupts::vector::{APIC_ERROR, PARKED};

/// One test: its name, and the function, which panics if it fails.
pub type Test = (&'static str, fn(&'static Machine));

/// Runs the tests in order. Reports to the host how many there are before the first, and each one's
/// start, so that it can name the one that panics or hangs.
pub fn run(machine: &'static Machine, tests: &[Test]) -> ExitCode {
    emit(&Event::TestPlan { tests: tests.len() as u32 });
    for (name, test) in tests {
        if let Some(seed) = machine.options.seed {
            clock::watchdog::restart(seed);
        }
        emit(&Event::TestStart { name: (*name).into() });
        log!("test {name} ...");
        test(machine);
        log!("test {name} ... ok");
        emit(&Event::TestPass { name: (*name).into() });
    }
    ExitCode::Passed
}

/// Has a function handle, and end, the interrupts with this vector; `None` removes it.
pub fn set_handler(vector: u8, handler: Option<interrupts::Handler>) {
    interrupts::set_hook(vector, handler);
}
