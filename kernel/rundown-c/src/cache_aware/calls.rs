//! What users and owners of a `struct rundown` call.

use ::rundown::Rundown;

use super::{get, rundown};
use crate::answer::{rundown_state, rundown_status};
use crate::platform::Sleep;
use crate::shared::{self, size_t};

/// Takes protection: true if it was granted, false if the object is closed or full. Release it
/// once. Any context, NMI included; never allocates, blocks or disables interrupts.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_try_acquire(object: *mut rundown) -> bool {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.acquire().is_ok()
}

/// Takes `n` protections at once, all or none. With 0 it only asks whether the object is open, and
/// protects nothing. Contexts as rundown_try_acquire.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_try_acquire_many(object: *mut rundown, n: u32) -> bool {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.acquire_many(n).is_ok()
}

/// Like rundown_try_acquire, but says why not: RUNDOWN_STATUS_CLOSED or RUNDOWN_STATUS_FULL. Mind
/// that success is zero.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_acquire(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object
        .acquire()
        .map_or_else(rundown_status::from, |()| rundown_status::Ok)
}

/// Like rundown_try_acquire_many, but says why not, as rundown_acquire does.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_acquire_many(object: *mut rundown, n: u32) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object
        .acquire_many(n)
        .map_or_else(rundown_status::from, |()| rundown_status::Ok)
}

/// Gives one protection back, on any CPU, in any context. If it was the last that an owner waits
/// for, the object may be gone when this returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_release(object: *mut rundown) {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller owns what it releases.
    unsafe { object.release() }
}

/// Gives `n` protections back, taken one by one or many at a time. Releasing more than is held is
/// reported to the platform's `misuse`, at the latest when the object drains.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_release_many(object: *mut rundown, n: u32) {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller owns what it releases.
    unsafe { object.release_many(n) }
}

/// Closes the object: every acquire that starts after this returns is refused. Never waits. Returns
/// RUNDOWN_STATUS_OK, _ALREADY_CLOSED or _SUPERSEDED; none is a failure. One step per slot. Any
/// context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_close(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.close().into()
}

/// Closes the object if it is open, and returns when everything it granted is released
/// (RUNDOWN_STATUS_OK), or when rundown_cancel has opened it again (RUNDOWN_STATUS_CANCELLED: it is
/// in use, free nothing). What was done under protection happens before the return. Any number of
/// callers may wait, at the same time or later. Thread context, and not while the caller holds
/// protection itself.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_wait(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.wait(&Sleep).into()
}

/// Closes the object if it is open, and says whether it has drained: RUNDOWN_STATUS_OK, or
/// _OUTSTANDING with a racy count of what is held in `*held` (which may be NULL). Never waits. Any
/// context.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_try_wait(object: *mut rundown, held: *mut i64) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's out pointer.
    unsafe { shared::try_wait(object, held) }
}

/// Like rundown_wait, but gives up when the platform's `now` has reached `deadline`:
/// RUNDOWN_STATUS_OUTSTANDING, with a racy count of what is held in `*held` (which may be NULL).
/// The object stays closed and drains on: wait again, or cancel. RUNDOWN_STATUS_NO_CLOCK without
/// `now`; nothing changed then.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_wait_deadline(
    object: *mut rundown,
    deadline: u64,
    held: *mut i64,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's out pointer.
    unsafe { shared::wait_deadline(object, deadline, held) }
}

/// Opens a draining object again, with what is still held; waiters return RUNDOWN_STATUS_CANCELLED.
/// RUNDOWN_STATUS_WRONG_STATE if it is open, has drained, or another caller is changing it right
/// now. Against a concurrent close, the later of the two wins. Never waits. Any context.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_cancel(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.cancel())
}

/// Marks a drained object run down; doing it twice is no error. RUNDOWN_STATUS_WRONG_STATE if it is
/// open or draining. Any context.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_complete(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.complete())
}

/// Opens a drained object again, completed or not. What the caller did before happens before every
/// protection granted from then on. RUNDOWN_STATUS_WRONG_STATE if it is open or draining. Any
/// context.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_reinit(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.reinit())
}

/// Opens an object that was born closed (or completed): the same step as rundown_reinit, but not
/// legal on one that was closed and not completed: RUNDOWN_STATUS_WRONG_STATE. Any context.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_open(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.open())
}

/// A snapshot of the object's state. Any context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_get_state(object: *const rundown) -> rundown_state {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.state().into()
}

/// Whether the object is closed and nothing is held. True stays true until it is opened again, and
/// what was done under protection happens before it. Any context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_is_drained(object: *const rundown) -> bool {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.is_drained()
}

/// How many protections are held: exact while nobody acquires or releases, else a guess that may be
/// negative. Any context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_racy_held(object: *const rundown) -> i64 {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.racy_held()
}

/// Puts the net count of each slot into `counts`, as many as there are slots and room, and returns the
/// number of slots. Single counts may be negative; while the object drains, they go on. Racy. Any
/// context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_racy_counts(
    object: *const rundown,
    counts: *mut i64,
    room: size_t,
) -> size_t {
    // SAFETY: the caller's object.
    let found = unsafe { get(object) }.racy_counts();
    let slots = found.len();
    for (index, count) in found.take(room).enumerate() {
        // SAFETY: the caller has that much room.
        let place = unsafe { counts.add(index) };
        // SAFETY: and it is writable.
        unsafe { place.write(count) };
    }
    slots
}
