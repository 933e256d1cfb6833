//! The per-CPU variant: plain counters, without a lock prefix, and a barrier when the object
//! closes; and what a platform that has them is made of.

mod counter_map;
mod gate;
// ELF, because of its section of sequences.
#[cfg(all(
    target_arch = "x86_64",
    not(any(windows, target_os = "uefi", target_vendor = "apple", rundown_loom))
))]
pub mod gs;
pub mod restart;
mod rounds;
mod variant;

pub use self::counter_map::CounterMap;
pub use self::gate::{PerCpuGate, PerCpuPlatform};
pub use self::rounds::{Answers, Round, Rounds};
pub use self::variant::{PerCpu, PerCpuRundown};
