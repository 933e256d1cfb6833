//! The C interface of [`rundown`]. C programs read it as `include/rundown.h`, where every call and
//! type is documented; a test compares its declarations with those that are made from here.
//!
//! Two of Rust's three variants: cache-aware, `struct rundown`, behind a pointer; and plain,
//! `struct rundown_ref`, by value. The system supplies its services in a [table of
//! functions](rundown_platform).
//!
//! # Safety
//! All functions share one contract. A pointer to an object points to one that was initialised and
//! has not been freed; its memory does not move, and nothing else writes to it. An out pointer is
//! writable or, where that is said, null. A caller that releases owns what it releases.
#![no_std]
#![expect(
    non_camel_case_types,
    missing_docs,
    clippy::missing_safety_doc,
    reason = "the names are C's; the documentation is in the header, the contract above"
)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("`struct rundown_ref` is two 64-bit words: 32-bit targets are not supported");

// Checked, linted or documented like any other crate of the workspace (profiles that unwind), this
// one borrows its panic handler from std. The library itself is built with `panic = "abort"`.
#[cfg(not(panic = "abort"))]
extern crate std;

mod answer;
mod cache_aware;
mod calls;
mod completion;
mod holders;
mod misuse;
#[cfg(panic = "abort")]
mod panic;
mod plain;
mod platform;
mod text;

pub use answer::{rundown_state, rundown_status, rundown_status_text};
pub use cache_aware::*;
pub use calls::*;
pub use completion::rundown_completion;
pub use holders::{rundown_has_diagnosis, rundown_holder, rundown_unlisted_holders};
pub use misuse::{rundown_illegal_call, rundown_misuse, rundown_misuse_kind};
pub use plain::*;
pub use platform::{rundown_cpu_count, rundown_platform, rundown_set_platform, rundown_waiting};

/// C's name, so that the header has it, too.
type size_t = usize;
