//! The protocol between the kernel and the host.
//!
//! - [`options`]: host to guest, a few `key=value` lines in the ramdisk.
//! - [`event`]: guest to host, one line of JSON each, marked by [`event::MARK`] so that it can
//!   share the serial port with ordinary log lines.
//! - [`start`]: how CPUs start: each one's progress over time, and its faults.
//! - [`storm`]: the figures of the main job, and how a person sees them.
//! - [`histogram`]: counts latencies for the storm.
//! - [`human`]: numbers as a person reads them.
//! - [`exit`]: the guest's last word, through QEMU's `isa-debug-exit` device.
//!
//! Both sides compile this crate, so they cannot drift apart.
#![no_std]
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "self-explanatory names need no doc comment")]

extern crate alloc;

pub mod event;
pub mod exit;
pub mod histogram;
pub mod human;
pub mod options;
pub mod start;
pub mod storm;
