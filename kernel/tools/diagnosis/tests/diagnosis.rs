//! The crate's tests of feature `diagnosis`, on this package's copy of the crate.
#![cfg(not(rundown_loom))]

// The name that the tests know it by.
extern crate rundown_diagnosis as rundown;

#[path = "../../../rundown/tests/support/host_counters.rs"]
mod host_counters;
#[path = "../../../rundown/tests/diagnosis/listing.rs"]
mod listing;
#[path = "../../../rundown/tests/diagnosis/platform.rs"]
mod platform;
#[path = "../../../rundown/tests/diagnosis/printing.rs"]
mod printing;
#[path = "../../../rundown/tests/diagnosis/reentrance.rs"]
mod reentrance;
#[path = "../../../rundown/tests/support/script.rs"]
mod script;
