//! Feature `diagnosis`: who holds is listed, and printed when it should be.
#![cfg(not(rundown_loom))]

#[path = "../support/host_counters.rs"]
mod host_counters;
mod listing;
mod platform;
mod printing;
mod reentrance;
