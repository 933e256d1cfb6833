//! A value behind rundown protection: [`Protected`].

mod error;
#[cfg(feature = "alloc")]
mod owned;
mod run_down;
mod value;

pub use self::error::{PublishError, Rejected, ReplaceError, RunDownError};
#[cfg(feature = "alloc")]
pub use self::owned::OwnedGuard;
pub use self::run_down::{Retired, RunDown};
pub use self::value::Protected;
