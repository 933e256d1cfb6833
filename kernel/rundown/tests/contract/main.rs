//! The contract (S1 to S13 in the README), one table of tests over every variant.
#![cfg(not(rundown_loom))]

mod batches;
mod completions;
mod counts;
mod model;
mod object;
mod scenarios;
mod sequences;
#[path = "../support/mod.rs"]
mod support;
