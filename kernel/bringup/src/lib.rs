#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(test)]
extern crate std;

// Plain computation on bytes and numbers: nothing privileged, any context, tested on the host.
mod bytes;
mod cpuid;
mod id;
mod madt;
mod map;
mod nmi;
mod offset;
pub mod rate;
mod root;
mod topology;

// The start.
mod apic;
mod arrival;
mod descriptors;
mod entry;
#[cfg(feature = "faults")]
mod faults;
mod kernel;
mod memory_types;
mod plan;
mod record;
mod registers;
mod slot;
mod start;
mod tables;
mod trampoline;

pub use id::{ApicId, CpuIndex};
pub use madt::{BadEntry, CpuState, IoApic, Madt, MadtCpu};
pub use map::{CpuMap, MAX_CPUS};
pub use nmi::{LintUse, NmiPins};
pub use offset::ClockOffset;
pub use root::{RootError, RootFlaw, Tables};
pub use topology::{Cache, CacheKind, CoreKind, Place, Topology};

pub use apic::{ApicErrors, ApicFacts, Ipi, LocalApic, Target};
pub use arrival::Arrival;
#[cfg(feature = "faults")]
pub use faults::InjectedFault;
pub use kernel::{Event, Kernel};
pub use plan::{CannotStart, Plan, Progress, Steps};
pub use record::{Fault, Stage};
pub use registers::park;
pub use slot::{STAMPS, SlotState};
pub use start::{Starter, quiet_others};
pub use trampoline::LOW_PAGES;
