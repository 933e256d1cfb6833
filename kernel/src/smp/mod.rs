//! The other CPUs (APs): started all at once by crate [`bringup`], then idle until there is work;
//! taken out and brought back.
//!
//! | | where |
//! |---|---|
//! | the crate's starter, and how it is asked | `starter` |
//! | what it asks of this kernel; an AP's set-up | `kernel` |
//! | the start of all CPUs | `start` |
//! | work for CPUs, and the idle loop | `work` |
//! | [`offline`], [`online`], CPUs that are plugged in | `hotplug` |
//! | what is said about it all | `report` |
//! | faults on purpose | `faults` |
//!
//! `docs/bring-up.md` describes it step by step, with the traps on the way.

mod faults;
mod hotplug;
mod kernel;
mod report;
mod start;
mod starter;
pub(crate) mod work;

pub use hotplug::{OfflineError, StartError, offline, online};
pub use report::{BringUp, Parked, parked};
pub(crate) use start::{is_starting, park_faulty, start};
pub use work::run_on_each;
