//! Builds a kernel, boots it in QEMU, and says what came of it.
//!
//! ```no_run
//! let kernel = boot::guest::build_one("kernel", "kernel")?;
//! let report = boot::Boot::new(kernel).smp(8).run()?;
//! assert!(report.outcome.passed(), "{}", report.outcome);
//! # anyhow::Ok(())
//! ```
//!
//! - [`toolchain`] finds a compiler for the guest, [`guest`] builds with it.
//! - [`machine`], [`accel`] and [`qemu`] are QEMU's command line.
//! - [`firmware`] and [`image`] serve UEFI: OVMF, and a stick whose loader contains the kernel.
//! - [`Boot`] starts QEMU, reads the serial port, and never leaves QEMU behind.
//! - An [`Action`] is what QEMU's monitor does meanwhile.
//! - [`outcome`] distinguishes a pass from all the ways to fail.
//! - [`template`] is a kernel of the user's own, to begin with.
//! - [`cli`] is the program `cargo boot`.

pub mod accel;
mod action;
mod child;
pub mod cli;
pub mod firmware;
pub mod guest;
pub mod image;
pub mod machine;
mod monitor;
pub mod outcome;
pub mod qemu;
mod run;
mod spread;
mod symbols;
pub mod template;
mod timeline;
pub mod toolchain;
pub mod version;
pub mod workspace;

pub use accel::{Accel, Host};
pub use action::{Action, Trigger};
pub use firmware::Firmware;
pub use machine::MachineType;
pub use outcome::Outcome;
pub use run::{Boot, Line, Report};
