//! What people do to take the crates, done in temporary folders with no workspace around them.
//!
//! Cargo is run offline first. Only if that fails, because a package was never downloaded on this
//! machine, it is run again and may use the network.

mod copy;
mod git;
mod lock;
mod manifests;
mod user;
