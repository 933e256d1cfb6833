//! The other CPUs (APs): started all at once, then idle until there is work; taken out and brought back.
//!
//! | step | where |
//! |---|---|
//! | INIT, SIPI, SIPI; who is silent is started once more, then given up | `start` |
//! | stacks, areas and descriptors for each listed CPU | `seat` |
//! | the pages below 1 MiB in which CPUs wake up | `trampoline.rs` |
//! | all of those of a start, and faults on purpose in them | `trampolines.rs` |
//! | real mode, protected mode, long mode | `trampoline.S` |
//! | APIC ID from the APIC, look-up, only then a stack | `ap_entry.S` |
//! | descriptors, interrupts, APIC, clock, online | `entry` |
//! | fault records of CPUs that cannot go on; CPUs that have parked themselves | `records`, `parked` |
//! | idle, jobs, the way out | `work` |
//! | [`offline`], [`online`], CPUs that are plugged in | `hotplug` |
//! | what is said of all this | `report`, `faults` |
//!
//! `docs/bring-up.md` tells it as a story, with the traps on the way.

mod entry;
mod faults;
mod gdt;
mod hotplug;
mod parked;
mod records;
mod report;
mod seat;
mod start;
mod trampoline;
mod trampolines;
mod work;

use alloc::vec::Vec;
use core::time::Duration;

use protocol::start::{Faulted, Steps};

use crate::cpu::{self, ApicId, CpuIndex};

pub use hotplug::{OfflineError, StartError, offline, online};
pub use parked::parked;
pub(crate) use report::latecomers;
pub(crate) use start::start;
pub use work::run_on_each;

/// How the start of the CPUs went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BringUp {
    /// CPUs that the firmware lists as enabled but that did not check in. They are left out.
    pub missing: Vec<ApicId>,
    /// What went wrong with CPUs, in the order in which it was seen; with one that was started again and
    /// then came, too.
    pub faults: Vec<Faulted>,
    /// CPUs that have parked themselves, as far as they had been seen when the last listed one was online.
    pub parked: Parked,
    /// Microseconds from the first INIT to the last check-in; 0 on a machine with one CPU.
    pub micros: u64,
    /// CPUs whose clock was seen to be behind that of another one, and by how much at least.
    pub behind: Vec<(CpuIndex, Duration)>,
    /// When the first INIT was sent, in nanoseconds since boot.
    begin: u64,
    /// The BSP's steps.
    steps: Steps,
}

/// CPUs that run, but are not used: they halt, interrupts off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// CPUs that started but that the firmware does not list as enabled.
    pub unlisted: Vec<ApicId>,
    /// CPUs that started after they had been given up.
    pub late: Vec<ApicId>,
}

impl Parked {
    /// Adds one: late, if anybody has called it. (A broadcast reaches others, too, such as CPUs that are
    /// listed, but not as enabled.)
    fn add(&mut self, id: ApicId) {
        let seat = cpu::map().index_of(id).and_then(seat::of);
        if seat.is_some_and(|seat| seat.attempts() > 0) {
            self.late.push(id);
        } else {
            self.unlisted.push(id);
        }
    }
}
