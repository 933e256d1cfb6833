//! The other CPUs (APs): started all at once, then idle until there is work.
//!
//! | step | where |
//! |---|---|
//! | stacks and areas for all listed CPUs; INIT, SIPI, SIPI to all at once; retry; give up | `start` |
//! | real mode, protected mode, long mode | `trampoline.S` |
//! | APIC ID from the APIC, look-up, only then a stack | `ap_entry.S` |
//! | descriptors, APIC, online | `start::ap_main` |
//! | idle, jobs | `work` |

mod report;
mod start;
pub(crate) mod work;

use alloc::vec::Vec;

use crate::cpu::ApicId;

pub(crate) use start::start;
pub use work::run_on_each;

/// How the start of the CPUs went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BringUp {
    /// CPUs that the firmware lists as enabled but that did not check in. They are left out.
    pub missing: Vec<ApicId>,
    /// CPUs that started but that the firmware does not list as enabled. They have parked
    /// themselves.
    pub unlisted: u32,
    /// Microseconds from the first INIT to the last check-in; 0 on a machine with one CPU.
    pub micros: u64,
}
