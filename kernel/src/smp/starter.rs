//! The crate's starter, and how this kernel asks it for CPUs.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bringup::{MAX_CPUS, Plan, Progress, Refused, Starter, Steps};
use spin::Once;

use crate::cpu::Descriptors;

/// This kernel, as the crate sees it: see [`kernel`](super::kernel).
#[derive(Debug)]
pub(super) struct Kernel;

pub(super) static STARTER: Starter<Kernel, MAX_CPUS> = Starter::new(Kernel);

/// How long CPUs have, in milliseconds. Written once, by [`start`].
pub(super) static TIMEOUT_MS: AtomicU32 = AtomicU32::new(0);

/// What is kept of each CPU for its start.
pub(super) struct Own {
    pub(super) descriptors: Once<&'static Descriptors>,
    /// By how many ticks its clock was found to be behind that of another CPU.
    pub(super) behind: AtomicU64,
}

pub(super) static OWN: [Own; MAX_CPUS] = [const {
    Own {
        descriptors: Once::new(),
        behind: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// Starts CPUs.
pub(super) fn run(
    wanted: impl Fn(Progress) -> bool,
    broadcast: bool,
    steps: &mut Steps,
) -> Result<(), Refused> {
    let plan = Plan {
        broadcast,
        timeout_ns: u64::from(TIMEOUT_MS.load(Ordering::Relaxed)) * 1_000_000,
        ..Plan::default()
    };
    STARTER.start(wanted, &plan, steps)
}
