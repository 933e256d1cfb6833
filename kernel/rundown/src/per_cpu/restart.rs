//! Tables of restartable sequences, one for each linked image: a kernel's own and those of the
//! modules that it loads. Interrupt handlers look addresses up in them; a loader registers and
//! unregisters them meanwhile. [`unregister`](Images::unregister) takes a table out of the list
//! first, and then waits for all look-ups that may have found it there (`visits`).

use core::fmt;
use core::ptr::{self, NonNull};
use core::slice;

use crate::primitive::{AtomicPtr, AtomicUsize, Lock, Ordering, UnsafeCell, spin_loop};
use crate::visits::Visits;

/// A restartable sequence, from the address of its first instruction to the one behind its last: an
/// entry of the section `rundown_restart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Sequence {
    start: u64,
    end: u64,
}

impl Sequence {
    /// The sequence from `start` up to and without `end`. If that is nothing, no address is in it.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }
}

/// Where an image's table lies. A loader finds the two addresses as the image's symbols
/// `__start_rundown_restart` and `__stop_rundown_restart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Bounds {
    /// The first entry.
    pub start: *mut Sequence,
    /// Behind the last entry.
    pub end: *mut Sequence,
}

// SAFETY: two addresses; the functions that use them say what has to hold.
unsafe impl Send for Bounds {}
// SAFETY: as above.
unsafe impl Sync for Bounds {}

impl Bounds {
    /// Sorts the table, and leaves out entries that hold nothing.
    ///
    /// # Safety
    /// Between the bounds there are entries and nothing else, writable, and the caller's alone
    /// until this returns. They stay as they are for as long as the slice is used.
    pub(crate) unsafe fn into_sorted<'a>(self) -> &'a [Sequence] {
        let bytes = self.end.addr() - self.start.addr();
        if bytes == 0 {
            return &[];
        }
        // SAFETY: by the caller.
        let all = unsafe { slice::from_raw_parts_mut(self.start, bytes / size_of::<Sequence>()) };
        all.sort_unstable_by_key(|sequence| (sequence.start < sequence.end, sequence.start));
        let empty = all.partition_point(|sequence| sequence.start >= sequence.end);
        &all[empty..]
    }
}

/// Where code that was interrupted at this address must go on, if it is inside one of the
/// sequences: at that sequence's start. They are sorted and do not overlap.
pub(crate) fn find(sequences: &[Sequence], interrupted_at: u64) -> Option<u64> {
    // At its very start, a sequence has done nothing yet.
    let started = sequences.partition_point(|sequence| sequence.start < interrupted_at);
    let last = sequences[..started].last()?;
    (interrupted_at < last.end).then_some(last.start)
}

/// Whether two images lie in each other's way.
pub(crate) fn overlap(one: &[Sequence], other: &[Sequence]) -> bool {
    let ends = |sequences: &[Sequence]| Some((sequences.first()?.start, sequences.last()?.end));
    match (ends(one), ends(other)) {
        (Some((start, end)), Some((other_start, other_end))) => {
            start < other_end && other_start < end
        }
        _ => false,
    }
}

/// One image's table, in the loader's memory, as it stands in the list of [`Images`].
pub struct RestartTable {
    /// The next one in the list. Written under its lock.
    next: AtomicPtr<RestartTable>,
    /// Null until it is first written, and written while the table is not in the list.
    sequences: UnsafeCell<*const [Sequence]>,
    /// Look-ups that found something here.
    restarts: AtomicUsize,
}

// SAFETY: the sequences are shared, and the cell is written only as said there.
unsafe impl Send for RestartTable {}
// SAFETY: as above.
unsafe impl Sync for RestartTable {}

impl RestartTable {
    const_unless_model! {
        /// An empty table, in no list.
        pub fn new() -> Self {
            Self {
                next: AtomicPtr::new(ptr::null_mut()),
                sequences: UnsafeCell::new(ptr::slice_from_raw_parts(ptr::null(), 0)),
                restarts: AtomicUsize::new(0),
            }
        }
    }

    /// How often this image's code was interrupted within a sequence. Racy; any context.
    pub fn racy_restarts(&self) -> usize {
        // Relaxed: pairs with nothing.
        self.restarts.load(Ordering::Relaxed)
    }

    /// The sequences it was registered with.
    ///
    /// # Safety
    /// Nothing registers it meanwhile: it is in the list, or a look-up that found it there counts.
    pub(super) unsafe fn sequences(&self) -> Option<&[Sequence]> {
        // SAFETY: by the caller.
        let sequences = self.sequences.with(|place| unsafe { *place });
        // SAFETY: null, or what `register` wrote.
        unsafe { sequences.as_ref() }
    }
}

default_is_new!(Default for RestartTable);

text!((fmt::Debug for RestartTable) this => "RestartTable({} restarts)", this.racy_restarts());

/// The tables of all images that are loaded. [`gs`](super::gs) has one for its sequences; a kernel
/// with sequences of its own (on another processor, say) makes one.
pub struct Images {
    pub(super) first: AtomicPtr<RestartTable>,
    lookups: Visits,
    /// Held while the list is changed.
    changing: Lock<()>,
}

impl Images {
    const_unless_model! {
        /// None is loaded.
        pub fn new() -> Self {
            Self {
                first: AtomicPtr::new(ptr::null_mut()),
                lookups: Visits::new(),
                changing: Lock::new(()),
            }
        }
    }

    /// Where code that was interrupted at this address must go on, if it was inside a sequence of a
    /// loaded image: at its start. Any CPU, any context. A binary search for each image.
    #[must_use]
    pub fn restart_point(&self, interrupted_at: u64) -> Option<u64> {
        // Relaxed: pairs with nothing. An image whose code runs on this CPU was registered before,
        // and is not taken out before the CPU is done with it.
        if self.first.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let lookup = self.lookups.begin();
        let found = self.search(interrupted_at);
        lookup.end();
        found
    }

    /// Adds an image's table, which it sorts: from here on its sequences are restarted. Thread
    /// context, since a lock is held for a moment.
    ///
    /// # Errors
    /// [`RegisterError`]: nothing has changed, but for the order of the image's entries.
    ///
    /// # Safety
    /// - None of the image's code has run yet, except what gave the bounds.
    /// - Between the bounds there are the image's entries and nothing else, relocated and writable.
    ///   Each is a sequence that may be started again as long as it has not come to its end.
    /// - Neither the entries nor `table` are moved, written to or freed until
    ///   [`unregister`](Self::unregister) has returned.
    pub unsafe fn register(
        &self,
        table: &RestartTable,
        bounds: Bounds,
    ) -> Result<(), RegisterError> {
        self.changing.with(|()| {
            if self.tables().any(|other| ptr::eq(other, table)) {
                return Err(RegisterError::Twice);
            }
            // SAFETY: by the caller; and the entries are in no list.
            let sequences = unsafe { bounds.into_sorted() };
            // SAFETY: in the list, which stays as it is while the lock is held.
            let mut others = self.tables().filter_map(|other| unsafe { other.sequences() });
            if others.any(|other| overlap(sequences, other)) {
                return Err(RegisterError::Overlap);
            }
            let place = &table.sequences;
            // SAFETY: not in the list; for earlier look-ups `unregister` has waited.
            place.with_mut(|place| unsafe { *place = sequences });
            // Relaxed: pairs with nothing; changed only under the lock.
            let first = self.first.load(Ordering::Relaxed);
            // Relaxed: pairs with the Acquire of `next` in `tables`, by the Release below.
            table.next.store(first, Ordering::Relaxed);
            let this = ptr::from_ref(table).cast_mut();
            // Release: pairs with the Acquire in `tables`; the writes above are visible.
            self.first.store(this, Ordering::Release);
            Ok(())
        })
    }

    /// Takes an image's table out again. Returns when no CPU is inside one of the image's sequences
    /// and no look-up reads the table. `barrier` is called until it finds no CPU inside.
    ///
    /// Thread context, with interrupts on if `barrier` needs that. Not within `barrier`.
    ///
    /// # Safety
    /// - The image's code is not entered any more, no CPU executes it, and none of it is suspended:
    ///   no thread of it is switched away, and no handler that came on top of it is still at work.
    ///   Calls that hold a protection of their own, taken and released by code outside of the
    ///   image, are the way to get there: see [`gs`](super::gs#how-a-loader-of-modules-uses-it).
    /// - When `barrier` returns, every other CPU has since the call either taken an interrupt whose
    ///   handler had looked up what it interrupted (an NMI does not count: it can come on top of a
    ///   handler that has yet to look up), or has been in no code of the image by its own account.
    pub unsafe fn unregister(
        &self,
        table: &RestartTable,
        mut barrier: impl FnMut(),
    ) -> Result<(), NotRegistered> {
        loop {
            // By the contract none is inside. This is a second line of defence.
            let before = table.racy_restarts();
            barrier();
            if table.racy_restarts() == before {
                break;
            }
        }
        self.changing.with(|()| {
            let link = self.link_to(table).ok_or(NotRegistered)?;
            // Relaxed: pairs with nothing; changed only under the lock.
            let next = table.next.load(Ordering::Relaxed);
            // Release: pairs with the Acquire in `tables`; the next table is visible to a
            // look-up that comes this way. `table.next` stays, for look-ups that are at this table.
            link.store(next, Ordering::Release);
            self.lookups.wait(spin_loop);
            Ok(())
        })
    }

    fn search(&self, interrupted_at: u64) -> Option<u64> {
        self.tables().find_map(|table| {
            // SAFETY: it was in the list, and the look-up counts.
            let sequences = unsafe { table.sequences() }?;
            let start = find(sequences, interrupted_at)?;
            // Relaxed: pairs with nothing. The barrier in `unregister` makes it visible there.
            table.restarts.fetch_add(1, Ordering::Relaxed);
            Some(start)
        })
    }

    /// The tables in the list. For look-ups that count, and under the lock.
    fn tables(&self) -> impl Iterator<Item = &RestartTable> {
        // Acquire: pairs with the Release in `register` and `unregister`.
        let first = NonNull::new(self.first.load(Ordering::Acquire));
        core::iter::successors(first, |table| {
            // SAFETY: as below.
            let table = unsafe { table.as_ref() };
            // Acquire: pairs with the Release in `unregister`.
            NonNull::new(table.next.load(Ordering::Acquire))
        })
        // SAFETY: tables in the list exist, by the contract of `register`; and those that have left
        // it, until `unregister` has waited for this look-up.
        .map(|table| unsafe { table.as_ref() })
    }

    /// The pointer to this table. Under the lock.
    fn link_to<'a>(&'a self, table: &RestartTable) -> Option<&'a AtomicPtr<RestartTable>> {
        core::iter::once(&self.first)
            .chain(self.tables().map(|other| &other.next))
            // Relaxed: pairs with nothing; changed only under the lock.
            .find(|link| ptr::eq(link.load(Ordering::Relaxed), table))
    }
}

default_is_new!(Default for Images);

text!((fmt::Debug for Images) _this => "Images {{ .. }}");

/// Why a table cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegisterError {
    /// It is registered already.
    Twice,
    /// Its sequences lie among those of another image: one of the two was relocated wrongly, or its
    /// memory used again before it was unregistered.
    Overlap,
}

display! { error RegisterError:
    Self::Twice => "the restart table is registered already",
    Self::Overlap => "the image's sequences lie among those of another image",
}

/// The table is not registered (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotRegistered;

display! { error NotRegistered:
    Self => "the restart table is not registered",
}
