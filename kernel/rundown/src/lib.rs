// Where the README's links lead in rustdoc: the first definition of a link counts. On a forge those
// at the README's end count, and lead to the files.
//! [`Rundown`]: crate::Rundown
//! [`Protected`]: crate::Protected
//! [`Drain`]: crate::Drain
//! [`Completion`]: crate::Completion
//! [`Compact`]: crate::Compact
//! [`Outstanding`]: crate::Outstanding
//! [`Platform`]: crate::Platform
//! [`Wait`]: crate::Wait
//! [`AsyncPlatform`]: crate::AsyncPlatform
//! [`PerCpuPlatform`]: crate::PerCpuPlatform
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
        #[macro_use]
        mod macros;

        mod cache_aware;
        mod completion;
        #[cfg(feature = "diagnosis")]
        pub mod diagnosis;
        mod drain;
        mod gate;
        mod guard;
        #[cfg_attr(not(feature = "diagnosis"), path = "no_holders.rs")]
        mod holders;
        #[cfg(all(feature = "std", not(rundown_loom)))]
        mod host;
        mod lifecycle;
        pub mod per_cpu;
        mod plain;
        mod platform;
        mod primitive;
        mod protected;
        mod rundown;
        mod shared;
        mod slot;
        mod state;
        mod variant;
        mod visits;
        mod wakers;
        mod word;

        pub use cache_aware::{CacheAware, CacheAwareRundown};
        pub use completion::Completion;
        pub use drain::{Awaited, Drain, Outstanding, Waits};
        pub use guard::{Access, Guard, Guards, Many, Number, One, Protection, Reach, RefGuard, RefGuards};
        #[cfg(all(feature = "std", not(rundown_loom)))]
        pub use host::{HostPlatform, Park};
        pub use per_cpu::{PerCpu, PerCpuGate, PerCpuPlatform, PerCpuRundown};
        pub use plain::{Plain, PlainRundown};
        pub use platform::{AsyncPlatform, Clock, Platform, Spin, Wait, Waiting};
        #[cfg(feature = "alloc")]
        pub use protected::OwnedGuard;
        pub use protected::{
            Protected, PublishError, Rejected, ReplaceError, Retired, RunDown,
            RunDownError,
        };
        pub use slot::{Slot, Slots, SlotsError};
        pub use state::{
            CloseOutcome, CloseThenError, CounterId, IllegalContext, Misuse, ObjectId, Refused, State, Tag,
            Unavailable, WaitOutcome, WrongState,
        };
        #[cfg(rundown_trace)]
        pub use traced_atomics as trace;
        pub use variant::{Compact, Isolated, Isolation, Rundown, Variant};
        pub use wakers::Wakers;
        pub use word::Generation;
    } else {
        compile_error!("rundown counts in 64-bit words: it needs a target with 64-bit atomics");
    }
}
