//! `HostPlatform`'s per-CPU counters on Linux: that a sequence restarts wherever it is interrupted,
//! that signal handlers may count, which threads can, and what a barrier costs.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(rundown_loom)))]

mod barriers;
mod boundaries;
mod counters;
mod hints;
mod registration;
mod stepper;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Mutex, PoisonError};

use rundown::{HostPlatform, PerCpuRundown};

type Object = PerCpuRundown<HostPlatform>;

/// An open object, or `None` without counters, which `HostPlatform::per_cpu` must report, too.
fn object() -> Option<Object> {
    let object = Object::new();
    if let Err(why) = &object {
        assert_eq!(HostPlatform::per_cpu().as_ref(), Err(why));
    }
    object.ok()
}

/// Runs a test, in a minute at most, one at a time: restarts and barriers are counted per process.
fn alone(test: impl FnOnce() + Send + 'static) {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that has failed is nothing to those that follow.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    support::within_a_minute(test);
}
