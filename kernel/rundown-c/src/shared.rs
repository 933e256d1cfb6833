//! What both variants do in the same way.

use core::ffi::c_void;
use core::slice;

use ::rundown::{Outstanding, Refused, Rundown, Tag, Variant, WaitOutcome, WrongState};

use crate::answer::rundown_status;
use crate::platform::{self, Sleep, System};

/// C's name, so that the header has it, too.
pub(crate) type size_t = usize;

pub(crate) fn step(done: Result<(), WrongState>) -> rundown_status {
    done.map_or(rundown_status::WrongState, |()| rundown_status::Ok)
}

pub(crate) fn granted(done: Result<(), Refused>) -> rundown_status {
    done.map_or_else(rundown_status::from, |()| rundown_status::Ok)
}

/// As C writes it.
pub(crate) fn tag(tag: *const c_void) -> Tag {
    Tag::new(tag.addr())
}

/// `objects`: the caller's array of so many pointers to objects.
pub(crate) unsafe fn close_all<V: Variant>(objects: *const &Rundown<V>, count: usize) {
    if count > 0 {
        // SAFETY: the caller's array, which is valid for the call: a reference is such a pointer.
        let objects = unsafe { slice::from_raw_parts(objects, count) };
        // Illegal only for objects that close with a barrier.
        let _ = Rundown::close_all(objects);
    }
}

/// `counts`: room for so many.
pub(crate) unsafe fn racy_counts<V: Variant>(
    object: &Rundown<V>,
    counts: *mut i64,
    room: usize,
) -> usize {
    let found = object.racy_counts();
    let slots = found.len();
    for (index, count) in found.take(room).enumerate() {
        // SAFETY: the caller has that much room.
        let place = unsafe { counts.add(index) };
        // SAFETY: and it is writable.
        unsafe { place.write(count) };
    }
    slots
}

/// `held`: null, or the caller's out pointer.
pub(crate) unsafe fn try_wait<V: Variant>(object: &Rundown<V>, held: *mut i64) -> rundown_status {
    let outcome = object.try_wait().map(|()| WaitOutcome::Drained);
    // SAFETY: the same contract.
    unsafe { waited(outcome, held) }
}

/// `held`: null, or the caller's out pointer.
pub(crate) unsafe fn wait_deadline<V: Variant<Platform = System>>(
    object: &Rundown<V>,
    deadline: u64,
    held: *mut i64,
) -> rundown_status {
    if platform::table().now.is_none() {
        return rundown_status::NoClock;
    }
    let outcome = object.wait_deadline(&Sleep, deadline);
    // SAFETY: the same contract.
    unsafe { waited(outcome, held) }
}

unsafe fn waited(outcome: Result<WaitOutcome, Outstanding>, held: *mut i64) -> rundown_status {
    let (status, count) = match outcome {
        Ok(outcome) => (outcome.into(), 0),
        Err(outstanding) => (rundown_status::Outstanding, outstanding.held),
    };
    if !held.is_null() {
        // SAFETY: the caller's out pointer.
        unsafe { held.write(count) };
    }
    status
}
