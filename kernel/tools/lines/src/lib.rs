//! What rundown protection costs in cache lines: the model that `docs/cost.md` describes, and what
//! checks it.
//!
//! - [`Kind::cost`] and its sisters are the formulas.
//! - [`Directory`] counts what the crate really touches: it is told of every access (by
//!   [`rundown_traced::trace`]) and knows which CPU has a copy of which line.
//! - [`life`], [`pairs`] and [`batch`] are what is counted: short scripts in which one CPU acts after
//!   the other, so that a count is exact and can be compared with a formula, number by number.
//!
//! The same scripts run on a simulated machine of up to 4,096 CPUs (this package's tests) and in the
//! kernel on as many virtual CPUs as QEMU has (the guest `cache_lines`).
//!
//! ```sh
//! cargo run --package lines              # the tables of docs/cost.md
//! cargo run --package lines -- --write   # puts them there
//! ```
#![no_std]

extern crate alloc;

mod cost;
mod directory;
mod formula;
mod script;
mod shape;
mod subject;

pub use cost::Cost;
pub use directory::Directory;
pub use formula::{Kind, LINE, Memory, PER_LINE, Step, barrier};
pub use script::{Machine, batch, life, pairs};
pub use shape::{Counters, WindowsShape};
pub use subject::{Guarded, Pairs, Subject};
