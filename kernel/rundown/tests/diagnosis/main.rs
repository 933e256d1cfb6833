//! Feature `diagnosis`: the holders are listed, and printed when they should be.
#![cfg(not(rundown_loom))]

#[path = "../support/host_counters.rs"]
mod host_counters;
mod listing;
mod platform;
mod printing;
mod reentrance;
#[path = "../support/script.rs"]
mod script;
