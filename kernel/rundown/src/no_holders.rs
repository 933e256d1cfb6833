//! In the place of `holders` without feature `diagnosis`: every hook compiles to nothing.
#![expect(
    clippy::extra_unused_type_parameters,
    reason = "the hooks look the same with the feature and without"
)]

use core::fmt;

use crate::platform::Platform;
use crate::state::{ObjectId, Tag};

/// A guard's entry in the table of holders.
#[derive(Debug)]
pub(crate) struct GuardEntry;

impl GuardEntry {
    pub(crate) fn new<P: Platform>(_: ObjectId, _: u32) -> Self {
        Self
    }

    pub(crate) fn recount(&mut self, _: u32) {}

    pub(crate) fn end(&mut self) {}
}

pub(crate) fn took_raw<P: Platform>(_: ObjectId, _: u32, _: Tag) {}

pub(crate) fn release_raw<P: Platform>(_: ObjectId, _: u32, _: Tag) -> u32 {
    0
}

pub(crate) fn about_to_wait<P: Platform>(_: ObjectId) {}

pub(crate) fn missed_deadline<P: Platform>(_: &dyn fmt::Display) {}

pub(crate) fn list(_: ObjectId, _: &mut fmt::Formatter<'_>) -> fmt::Result {
    Ok(())
}

#[cfg(all(test, feature = "std", not(rundown_loom)))]
mod tests {
    use core::mem::needs_drop;

    use crate::{CacheAware, Guard, HostPlatform, Plain, RefGuard, RefGuards, Rundown, Slot};

    type Word = Plain<HostPlatform>;
    type Slots = CacheAware<HostPlatform, [Slot; 2]>;

    #[test]
    fn guards_and_objects_are_small_and_objects_need_no_drop() {
        let pointer = size_of::<&()>();
        assert_eq!(size_of::<RefGuard<'_, Word>>(), pointer);
        assert_eq!(size_of::<RefGuard<'_, Slots>>(), pointer);
        assert_eq!(size_of::<Option<RefGuard<'_, Word>>>(), pointer);
        assert_eq!(size_of::<RefGuards<'_, Word>>(), 2 * pointer);
        assert_eq!(size_of::<Guard<'_, u64, Word>>(), 2 * pointer);
        // The state word, and where a completion is left.
        assert_eq!(size_of::<Rundown<Word>>(), 2 * size_of::<u64>());
        assert!(!needs_drop::<Rundown<Word>>() && !needs_drop::<Rundown<Slots>>());
    }
}
