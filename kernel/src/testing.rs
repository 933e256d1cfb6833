//! For guests that are tests: runs them one by one and tells the host; and what no kernel would do.

use bringup::Lint;
use protocol::{event::Event, exit::ExitCode};
use x86_64::{PhysAddr, VirtAddr};

use crate::{
    apic::{self, Ipi, Target},
    cpu::{self, CpuIndex},
    interrupts, log,
    log::emit,
    machine::Machine,
    memory, unexpected,
};

pub use crate::interrupts::vector::{APIC_ERROR, PARKED};

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

/// Sends an interrupt with any vector from 16 on. Any CPU, any context.
pub fn send(cpu: CpuIndex, vector: u8) {
    apic::send(Target::One(cpu::apic_id(cpu)), Ipi::Vector(vector));
}

/// Has a function handle, and [end](end_of_interrupt), the interrupts with a vector that has no handler; `None`: it
/// has none again.
pub fn set_handler(vector: u8, handler: Option<interrupts::Handler>) {
    interrupts::set_hook(vector, handler);
}

/// Ends the interrupt that is in service on this CPU.
pub fn end_of_interrupt() {
    apic::end_of_interrupt();
}

/// Sends an NMI of which nobody is told, as if it were not from here. Any CPU, any context.
pub fn send_nmi(cpu: CpuIndex) {
    apic::send(Target::One(cpu::apic_id(cpu)), Ipi::Nmi);
}

/// Whether this CPU has taken an interrupt with this vector and not ended it yet.
#[must_use]
pub fn is_in_service(vector: u8) -> bool {
    apic::is_in_service(vector)
}

/// Whether an interrupt with this vector waits for this CPU to take it.
#[must_use]
pub fn is_requested(vector: u8) -> bool {
    apic::is_requested(vector)
}

/// Whether NMIs of the board come to this CPU by its pins LINT0 and LINT1.
#[must_use]
pub fn nmi_pins() -> [bool; 2] {
    [Lint::Lint0, Lint::Lint1].map(apic::takes_nmis)
}

/// Unmasks the interrupt sources inside this CPU, as firmware may leave them, with this vector.
/// Returns how many there are.
#[must_use]
pub fn unmask_own_sources(vector: u8) -> usize {
    apic::own_sources::unmask(vector)
}

/// How many of them are not masked.
#[must_use]
pub fn unmasked_own_sources() -> usize {
    apic::own_sources::unmasked()
}

/// Whether an NMI is for a hardware error, if port 0x61 reads so. That ends the kernel.
#[must_use]
pub fn is_hardware_error(port: u8) -> bool {
    unexpected::Reason(port).is_hardware_error()
}

/// Maps a page of device registers, for good.
pub fn map_registers(address: PhysAddr) -> VirtAddr {
    memory::map_registers(address)
}
