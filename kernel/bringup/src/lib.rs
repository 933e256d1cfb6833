//! Which CPUs a machine has, and what to call them.
//!
//! The hardware names a CPU by its APIC ID, a number with holes: three sockets of three cores have
//! the IDs 0, 1, 2, 4, 5, 6, 8, 9, 10. A kernel wants to index arrays by CPU, without holes. This
//! crate keeps the two apart and leads from one to the other:
//!
//! - [`ApicId`] and [`CpuIndex`] are different types and never convert silently.
//! - [`Madt`] reads what the firmware lists, from the bytes of the ACPI table.
//! - [`check_root`] makes sure that the firmware's tables are where it says, before anybody reads them.
//! - [`CpuMap`] numbers the listed CPUs 0, 1, 2, ...; the BSP (bootstrap processor) is 0, and those that
//!   may be plugged in later come last.
//! - [`Topology`] is what a CPU says of itself by CPUID: package, die, core, thread, and its caches.
//!
//! Everything here is plain computation on bytes and numbers: no allocation, no privileged
//! instruction, any context. The host runs its tests.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod id;
mod madt;
mod map;
pub mod rate;
mod root;
mod topology;

pub use id::{ApicId, CpuIndex};
pub use madt::{CpuState, IoApic, Lint, Madt, MadtCpu, MadtError, NmiPin, Override};
pub use map::{CpuMap, MAX_CPUS, MapError};
pub use root::{RootError, check_root};
pub use topology::{Cache, CacheKind, Caches, CoreKind, Place, Shape, Topology};
