//! The crate's tests of feature `diagnosis`, on this package's copy of the crate.
#![cfg(not(rundown_loom))]

// The name that the tests know it by.
extern crate rundown_diagnosis as rundown;

#[path = "../../tests/support/host_counters.rs"]
mod host_counters;
#[path = "../../tests/diagnosis/listing.rs"]
mod listing;
#[path = "../../tests/diagnosis/platform.rs"]
mod platform;
#[path = "../../tests/diagnosis/printing.rs"]
mod printing;
#[path = "../../tests/diagnosis/reentrance.rs"]
mod reentrance;
