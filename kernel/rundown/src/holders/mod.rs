//! The table of holders, and the hooks that keep it, behind the public module `diagnosis`. Without
//! the feature, the hooks of `no_holders.rs` stand in their place.

mod table;
mod word;

use core::fmt;
use core::panic::Location;

pub use self::table::Holder;
use self::table::{Claim, HolderTable};
use crate::platform::Platform;
use crate::state::{ObjectId, Tag};

/// How many guards and acquires without a guard can be listed at once, over all objects.
pub const CAPACITY: usize = 1024;

pub(crate) static TABLE: HolderTable<CAPACITY> = HolderTable::new();

/// The holders of protection of `object`, in no particular order. Legal in any context.
pub fn holders(object: ObjectId) -> impl Iterator<Item = Holder> + Clone {
    TABLE.holders(object)
}

/// How many protections, of all objects, are held but not listed, because the table was full when
/// they were taken. Legal in any context.
pub fn unlisted() -> u64 {
    TABLE.unlisted()
}

/// A guard's entry in the table.
pub(crate) type GuardEntry = Claim<'static, CAPACITY>;

impl GuardEntry {
    #[track_caller]
    pub(crate) fn new<P: Platform>(object: ObjectId, count: u32) -> Self {
        // Also with a count of zero, which is not listed: others may be merged into the guards.
        TABLE.add(object, &taken_now::<P>(count, false, Tag::NONE))
    }
}

/// `count` protections have been taken without a guard.
#[track_caller]
pub(crate) fn took_raw<P: Platform>(object: ObjectId, count: u32, tag: Tag) {
    if count > 0 {
        // No guard will come for it: releases look for the object's entries.
        TABLE.add(object, &taken_now::<P>(count, true, tag));
    }
}

/// `count` protections without a guard are about to be released. Returns how many of them were not
/// held under this tag; a release without a tag is for all.
pub(crate) fn release_raw<P: Platform>(object: ObjectId, count: u32, tag: Tag) -> u32 {
    TABLE.take_raw(object, P::cpu_hint(), count, tag)
}

/// Here and now, by the caller of the caller.
#[track_caller]
fn taken_now<P: Platform>(count: u32, raw: bool, tag: Tag) -> Holder {
    Holder { location: Location::caller(), cpu: P::cpu_hint(), tick: P::tick(), count, raw, tag }
}

/// Continues a text: a line for each holder, each with the line break before it.
pub(crate) fn list(object: ObjectId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", Lines(holders(object)))?;
    match unlisted() {
        0 => Ok(()),
        n => write!(f, "\n  not listed, of this or other objects, because the table was full: {n}"),
    }
}

/// A deadline has passed.
#[cold]
pub(crate) fn missed_deadline<P: Platform>(outstanding: &dyn fmt::Display) {
    // It lists the holders itself.
    P::report(format_args!("rundown: deadline missed: {outstanding}"));
}

/// The caller is about to wait for `object`, which may be held by the same CPU.
#[track_caller]
pub(crate) fn about_to_wait<P: Platform>(object: ObjectId) {
    let (location, cpu) = (Location::caller(), P::cpu_hint());
    let own = holders(object).filter(|holder| holder.cpu == cpu);
    if own.clone().next().is_some() {
        P::report(format_args!(
            "rundown: the wait at {location} may wait for itself: the object at {object} is held by \
             the same CPU, {cpu}{}\n  no harm if that was handed over to another CPU or thread; it \
             waits on",
            Lines(own)
        ));
    }
}

/// A line for each, with the line break before it.
struct Lines<H>(H);

impl<H: Iterator<Item = Holder> + Clone> fmt::Display for Lines<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.clone().try_for_each(|holder| write!(f, "\n  {holder}"))
    }
}
