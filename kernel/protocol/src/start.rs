//! How CPUs start: each one's progress over time, and its faults.

use serde::{Deserialize, Serialize};

/// A fault of a CPU that was starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faulted {
    pub apic_id: u32,
    /// How far it had come: a `bringup::Stage`, as a number.
    pub stage: u8,
    /// The exception; `None` for a panic.
    pub vector: Option<u8>,
    /// The address of the instruction, where it is known; else 0.
    pub address: u64,
}

/// The moments that are kept of a CPU's way, in their order.
pub const PHASES: [&str; 6] = [
    "first instruction",
    "in the kernel",
    "first line of Rust",
    "area, IDT, GDT, TSS",
    "APIC",
    "online",
];

/// One CPU's way from its first instruction to online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    pub index: u32,
    pub apic_id: u32,
    /// How many times it was started.
    pub attempts: u32,
    /// When it had reached each of the [`PHASES`]: nanoseconds from the first INIT.
    pub at_ns: [u64; PHASES.len()],
}

/// The BSP's steps, in nanoseconds from the first INIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Stacks, areas and descriptors of all CPUs were ready.
    pub prepared_ns: u64,
    /// The first SIPI was sent.
    pub sipi_ns: u64,
    /// The second SIPIs were sent; 0 if no CPU needed one.
    pub second_sipi_ns: u64,
    /// How many needed one.
    pub seconds: u32,
    /// The BSP saw that all were online, or gave up.
    pub all_ns: u64,
}
