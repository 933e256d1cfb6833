//! The current holders, since when, from where: feature `diagnosis`. Without the feature nothing of
//! this is there, not a byte and not an instruction.
//!
//! One table, shared by all objects, has an entry for each guard and for each acquire without a
//! guard: source location, [CPU hint](crate::Platform::cpu_hint), [tick](crate::Platform::tick),
//! count, [tag](crate::Tag). [`holders`] and [`HolderReport`] read it, as does the `Display` of
//! [`Outstanding`](crate::Outstanding). Three occasions print it by [`Platform::report`]:
//!
//! - a [deadline](crate::Rundown::wait_deadline) passes before the object has drained;
//! - an object is dropped while something of it is held;
//! - a wait with a policy (no future, no poll) begins on the very CPU that protection of the object
//!   was taken on: it may wait for itself. A warning: that protection may have been handed over.
//!
//! # Contexts and costs
//!
//! Never allocates, blocks or takes a lock; legal wherever an acquire is, in NMI, too, except that
//! printing is as legal as the platform's `report` is. The table is 64 KiB of zeroed static memory.
//! An acquire looks for a free entry, starting at its CPU's own: mostly the first is free, at worst
//! it looks at all [`CAPACITY`]. A release without a guard looks for the object's entries; if the
//! acquire was on another CPU, that is the whole table, and at worst a few times. So do dropping an
//! object, listing its holders, and each wait that has to wait.
//!
//! # Limits
//!
//! - When the table is full, protection is granted, but not listed: see [`unlisted`].
//! - A list is a racy snapshot. Each line in it is true of one moment.
//! - Protection without a guard has no identity but its [tag](crate::Tag). A release ends an entry
//!   of its own tag and CPU first, then of its tag, then (if it has no tag, or a wrong one) any of
//!   the object's: the number that is listed is right, which ones they are is a guess. A wrong tag
//!   is not noticed while something is [unlisted].
//! - The table knows an object by its address. If an object moves while protection of it is taken
//!   without a guard, or a guard forgotten, that stays listed at the old address; so do leaked
//!   holders of an object that is never dropped, such as one
//!   [placed](crate::CacheAwareRundown::place).
//! - A guard that is forgotten and then released without a guard, against the contract of
//!   [`release`](crate::Rundown::release), stays listed until its object is dropped.
//! - CPU and tick are those of the acquire, and stay when a guard moves to another CPU. A part
//!   split off counts as taken there and then; a guard merged into another is listed as that one.

use core::fmt;

pub use crate::holders::{CAPACITY, Holder, holders, unlisted};
use crate::holders::{TABLE, list};
use crate::platform::Platform;
use crate::rundown::BySlot;
use crate::variant::{Rundown, Variant};

/// An object for people: its state, counts, and holders. As racy as those.
///
/// ```
/// use rundown::{diagnosis::HolderReport, HostPlatform, PlainRundown};
///
/// let object = PlainRundown::<HostPlatform>::new();
/// let _guard = object.try_acquire();
/// println!("{}", HolderReport(&object));
/// // the object at 0x7ffd4c35a2b8 is open, 1 held
/// //   1 held since tick 12345 on CPU 0, taken at src/main.rs:4:21
/// ```
#[derive(Clone, Copy)]
pub struct HolderReport<'a, V: Variant + ?Sized>(
    /// Which object. The report is about the time when it is displayed.
    pub &'a Rundown<V>,
);

/// Several lines, the last one without its end.
impl<V: Variant + ?Sized> fmt::Display for HolderReport<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.0.id();
        let (state, held) = (self.0.state(), self.0.racy_held());
        write!(f, "the object at {object} is {state}, {held} held")?;
        if self.0.racy_counts().len() > 1 {
            let counts = BySlot(self.0);
            write!(f, "\n  by slot, where not zero: {counts:?}")?;
        }
        list(object, f)
    }
}

// The same text.
text!((<V: Variant + ?Sized> fmt::Debug for HolderReport<'_, V>) this => "{this}");

/// The object is dropped: whatever is left of it in the table will never be released.
impl<V: Variant + ?Sized> Drop for Rundown<V> {
    fn drop(&mut self) {
        let held = self.racy_held();
        if held != 0 {
            let report = HolderReport(self);
            V::Platform::report(format_args!("rundown: dropped while held: {report}"));
        }
        // Another object may come to live at this address.
        TABLE.clear(self.id(), held);
    }
}
