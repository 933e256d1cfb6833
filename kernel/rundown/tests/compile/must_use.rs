//! Lints come after errors, so these have a program of their own: see `must_not.rs`.
#![deny(unused_must_use)]

use rundown::{PlainRundown, Platform, Protected, RunDownError, Spin, Variant};

fn a_cancelled_wait_is_ignored<P: Platform>(object: &PlainRundown<P>) {
    object.wait(&Spin); //~ error: unused `WaitOutcome` that must be used
}

fn a_retired_value_is_ignored<V: Variant>(object: &Protected<String, V>) -> Result<(), RunDownError> {
    object.begin_run_down().wait(&Spin)?; //~ error: unused `Retired` that must be used
    Ok(())
}

fn main() {}
