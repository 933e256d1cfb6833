//! Where each CPU sits, as it says itself.
//!
//! Each CPU asks itself once, while it starts, and keeps the answer in its area: CPUID tells of the CPU
//! that runs it, and on a machine of mixed cores CPUs differ. What the answers mean is crate
//! `bringup`'s matter.

use bringup::{CpuIndex, Topology};
use spin::Once;

use crate::per_cpu::{self, per_cpu};

per_cpu! {
    /// What it has said of itself.
    static TOPOLOGY: Once<Topology> = Once::new();
}

/// What a CPU has said of itself; `None` if it has never started, or is none of this machine's.
///
/// Any CPU, any context.
#[must_use]
pub fn of(cpu: CpuIndex) -> Option<&'static Topology> {
    TOPOLOGY.of(cpu)?.get()
}

/// Asks this CPU, unless that has been done: a CPU that is started again is the same as before. With its
/// area installed and the index table published; allocates nothing and waits for nobody.
pub(crate) fn read() {
    // First the one, then the other: a CPU that is reset in the midst of `call_once` could never call it
    // again.
    let topology = Topology::read(super::apic_id(per_cpu::index()));
    TOPOLOGY.here().call_once(|| topology);
}
