#![doc = include_str!("../README.md")]
#![no_std]
// Which feature an item needs, for docs.rs alone: it passes the cfg.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    docsrs,
    doc(auto_cfg(hide(miri, rundown_loom, rundown_tsan, target_has_atomic = "64")))
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(all(rundown_loom, not(feature = "loom")))]
compile_error!("models need the feature `loom` beside the cfg `rundown_loom`");

/// All or nothing, so that a target without 64-bit atomics gets one error instead of one a module.
/// (Under this name rustfmt finds the modules inside.)
macro_rules! cfg_if {
    (if #[cfg($condition:meta)] { $($yes:item)* } else { $($no:item)* }) => {
        $(#[cfg($condition)] $yes)*
        $(#[cfg(not($condition))] $no)*
    };
}

cfg_if! {
    if #[cfg(target_has_atomic = "64")] {
        mod batch;
        mod cache_aware;
        mod central;
        mod counts;
        #[cfg(not(feature = "diagnosis"))]
        mod diagnosis;
        #[cfg(feature = "diagnosis")]
        pub mod diagnosis;
        mod drain;
        mod future;
        mod guard;
        #[cfg(all(feature = "std", not(rundown_loom)))]
        mod host;
        mod lifecycle;
        mod lock;
        pub mod per_cpu;
        mod plain;
        mod platform;
        mod primitive;
        mod protected;
        mod rundown;
        mod state;
        mod switch;
        #[cfg(rundown_trace)]
        pub mod trace;
        mod wakers;
        mod word;

        #[cfg(feature = "alloc")]
        pub use cache_aware::BoxError;
        pub use cache_aware::{CacheAwareRundown, NoSlots, PlaceError, Slot, Slots};
        pub use counts::RacyCounts;
        pub use drain::Drain;
        pub use future::DrainFuture;
        pub use guard::{RefGuard, RefGuards};
        #[cfg(all(feature = "std", not(rundown_loom)))]
        pub use host::{HostPlatform, Park};
        pub use per_cpu::{CounterId, PerCpu, PerCpuRundown, Unavailable};
        pub use plain::RundownRef;
        pub use platform::{AsyncPlatform, Clock, ObjectId, Platform, Spin, Wait, Waiting};
        #[cfg(not(rundown_loom))]
        pub use protected::BornClosed;
        pub use protected::{
            Guard, MappedGuard, Protected, PublishError, ReplaceError, RunDownError, RunDownFuture,
        };
        #[cfg(feature = "alloc")]
        pub use protected::{Handle, Owner};
        pub use rundown::Rundown;
        pub use state::{CloseOutcome, Misuse, Outstanding, Refused, State, WaitOutcome, WrongState};
        pub use switch::Switch;
        pub use wakers::Wakers;
    } else {
        compile_error!("rundown counts in 64-bit words: it needs a target with 64-bit atomics");
    }
}
