#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod cache_aware;
mod guard;
#[cfg(all(feature = "std", not(rundown_loom)))]
mod host;
mod lifecycle;
mod plain;
mod platform;
mod primitive;
mod protected;
mod state;

pub use cache_aware::{CacheAwareRundown, NoSlots, Slot, Slots};
pub use guard::RefGuard;
#[cfg(all(feature = "std", not(rundown_loom)))]
pub use host::{HostPlatform, Park};
pub use lifecycle::Rundown;
pub use plain::RundownRef;
pub use platform::{Platform, Spin, Wait};
pub use protected::{Guard, Protected, PublishError, RunDownError};
pub use state::{CloseOutcome, Refused, State, WrongState};
