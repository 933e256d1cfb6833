//! How CPUs are to be started, and what has come of it.

use core::fmt;

use crate::{
    id::{ApicId, CpuIndex},
    slot::{STAMPS, SlotState},
    trampoline::LOW_PAGES,
};

/// How CPUs are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By interrupts to all others at once, if all that are enabled are wanted and none is online. CPUs that
    /// the firmware does not list start as well, then, and park. Else to one after the other.
    pub broadcast: bool,
    /// Between INIT and SIPI. 10 ms by the book (Intel SDM 3A, 9.4.4.1).
    pub init_ns: u64,
    /// After so long without any CPU coming online, those that are not are given up.
    pub timeout_ns: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            broadcast: true,
            init_ns: 10_000_000,
            timeout_ns: 3_000_000_000,
        }
    }
}

/// When a start, or several in a row, was how far: `begin` by
/// [`Kernel::nanos`](crate::Kernel::nanos), the others from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Just after the first INIT; 0 if none was sent.
    pub begin: u64,
    /// All stacks were there.
    pub prepared_ns: u64,
    /// The first SIPI was sent.
    pub sipi_ns: u64,
    /// The second SIPIs were sent; 0 if no CPU needed one.
    pub second_sipi_ns: u64,
    /// How many CPUs needed one.
    pub seconds: u32,
    /// All were online, or given up.
    pub all_ns: u64,
}

/// How far a CPU has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its index.
    pub cpu: CpuIndex,
    /// Its APIC ID.
    pub apic_id: ApicId,
    /// The firmware lists it as enabled: it is missing if it is not online.
    pub is_enabled: bool,
    /// The state of its boot slot.
    pub state: SlotState,
    /// The first of its memory type range registers that is not as that of the CPU that started it, by its number as a
    /// model-specific register: the firmware has set them differently.
    pub mtrr: Option<u32>,
    /// How many times it was started, when last asked to.
    pub attempts: u32,
    /// Ticks of its time-stamp counter at: its first instruction; in the kernel's address space;
    /// its first line of Rust; [two places of the kernel's](crate::Arrival::stamp); online. 0: not
    /// yet.
    pub stamps: [u64; STAMPS],
}

/// Why no CPU is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// [`Kernel::low_pages`](crate::Kernel::low_pages) has none, or what it names does not lie
    /// below 1 MiB or is not a page's address.
    NoLowPages,
    /// This [`Starter`](crate::Starter) has been prepared before, or another one has.
    AlreadyPrepared,
    /// [`Starter::prepare`](crate::Starter::prepare) comes first.
    NotPrepared,
    /// CPUs are being started.
    Busy,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLowPages => write!(
                f,
                "no {LOW_PAGES} usable pages below 1 MiB side by side for CPUs to wake up in"
            ),
            Self::AlreadyPrepared => f.write_str("a starter has been prepared before"),
            Self::NotPrepared => f.write_str("the starter has not been prepared"),
            Self::Busy => f.write_str("CPUs are being started"),
        }
    }
}

impl core::error::Error for Refused {}
