//! Feature `diagnosis`: who holds is listed, and printed when it should be.
#![cfg(not(rundown_loom))]

mod listing;
mod platform;
mod printing;
mod reentrance;
