//! Which CPUs a machine has, and what to call them.
//!
//! The hardware names a CPU by its APIC ID, a number with holes: three sockets of three cores have
//! the IDs 0, 1, 2, 4, 5, 6, 8, 9, 10. A kernel wants to index arrays by CPU, without holes. This
//! crate keeps the two apart and leads from one to the other:
//!
//! - [`ApicId`] and [`CpuIndex`] are different types and never convert silently.
//! - [`Madt`] reads what the firmware lists, from the bytes of the ACPI table.
//! - [`Tables`] finds the firmware's tables, even where the path to them is damaged.
//! - [`CpuMap`] numbers the listed CPUs 0, 1, 2, ...; the BSP (bootstrap processor) is 0, and those that
//!   may be plugged in later come last.
//! - [`NmiPins`]: the pin of its local APIC at which each CPU gets the board's NMIs.
//! - [`Topology`] is what a CPU says of itself by CPUID: package, die, core, thread, and its caches.
//!
//! Everything here is plain computation on bytes and numbers: no allocation, no privileged
//! instruction, any context. The host runs its tests.
#![no_std]
#![forbid(unsafe_code)]

mod bytes;
mod id;
mod madt;
mod map;
mod nmi;
mod root;
mod topology;

pub use id::{ApicId, CpuIndex};
pub use madt::{BadEntry, CpuState, IoApic, Lint, Madt, MadtCpu, MadtError, Override};
pub use map::{CpuMap, Disabled, MAX_CPUS, MapError};
pub use nmi::{LintUse, NmiPins};
pub use root::{RootError, RootFlaw, Tables};
pub use topology::{Cache, CacheKind, Caches, CoreKind, Place, Topology};
