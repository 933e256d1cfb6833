//! A value behind rundown protection: [`Protected`].

#[cfg(feature = "alloc")]
mod owned;
mod run_down;
mod value;

#[cfg(feature = "alloc")]
pub use self::owned::OwnedGuard;
pub use self::run_down::{ReplaceError, Retired, RunDown, RunDownError};
pub use self::value::{Protected, PublishError, Rejected};
