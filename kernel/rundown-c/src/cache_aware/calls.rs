//! What users and owners of a `struct rundown` call.

use core::ffi::c_void;

use super::{Object, get, rundown};
use crate::answer::{rundown_state, rundown_status};
use crate::completion::{self, rundown_completion};
use crate::holders::{self, rundown_holder};
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
    shared::granted(object.acquire())
}

/// Like rundown_try_acquire_many, but says why not, as rundown_acquire does.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_acquire_many(object: *mut rundown, n: u32) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::granted(object.acquire_many(n))
}

/// Takes one more protection for a caller that holds one, in whatever state the object is: while it
/// drains, too, which then waits for this one as well. RUNDOWN_STATUS_OK, or RUNDOWN_STATUS_FULL. A
/// holder that does so again and again keeps a drain from ending. Contexts as rundown_try_acquire.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_acquire_held(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller holds protection.
    shared::granted(unsafe { object.acquire_held() })
}

/// Takes `n` more, all or none, like rundown_acquire_held.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_acquire_held_many(object: *mut rundown, n: u32) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller holds protection.
    shared::granted(unsafe { object.acquire_held_many(n) })
}

/// Like rundown_acquire_many, under a tag that says what for: any value of your own, such as the address
/// of a request. NULL is no tag. A library with feature `diagnosis` lists holders by it
/// (rundown_racy_holders) and names a release under a wrong one; any other ignores it. Release it with
/// rundown_release_tagged.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_acquire_tagged(
    object: *mut rundown,
    n: u32,
    tag: *const c_void,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::granted(object.acquire_tagged(n, shared::tag(tag)))
}

/// Like rundown_acquire_held_many, under a tag: see rundown_acquire_tagged.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_acquire_held_tagged(
    object: *mut rundown,
    n: u32,
    tag: *const c_void,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller holds protection.
    shared::granted(unsafe { object.acquire_held_tagged(n, shared::tag(tag)) })
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

/// Like rundown_release_many, of what was acquired under this tag. A library with feature `diagnosis`
/// reports RUNDOWN_MISUSE_KIND_WRONG_TAG if so many are not held under it, after it has released them
/// all; so the object may be gone by then. (It may miss that where calls without a tag release what was
/// acquired under one, and while rundown_unlisted_holders is not 0.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_release_tagged(object: *mut rundown, n: u32, tag: *const c_void) {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller owns what it releases.
    unsafe { object.release_tagged(n, shared::tag(tag)) }
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

/// Closes those of `count` objects that are open; one may be in the array twice. If more was released
/// than held of one of them, that is reported, and the others are closed all the same (unless `misuse`
/// is NULL: the first report then ends in `panic`). Any context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_close_all(objects: *const *mut rundown, count: size_t) {
    // SAFETY: the caller's array of objects, each of which is an `Object`.
    unsafe { shared::close_all(objects.cast::<&Object>(), count) }
}

/// Closes the object, or finds it draining, and leaves a completion with it: the last release runs it,
/// exactly once, on its CPU and in its context, after its last touch of the object. The completion may
/// free the object and itself. If nothing is held, this call runs it, before it returns. Waiters, if
/// there are any, return as ever, perhaps before it runs. Never waits.
///
/// RUNDOWN_STATUS_OK: it runs, or has run, or comes back from rundown_cancel; the object may be gone.
/// RUNDOWN_STATUS_OCCUPIED if another completion is left with the object, RUNDOWN_STATUS_WRONG_STATE if
/// it has drained, or another caller is changing it right now: the completion is still the caller's, and
/// will not run. Any context in which the completion may run.
///
/// Where protection is released in an NMI handler, the completion may do only what is legal there: no
/// lock that the interrupted code may hold, no allocation, no blocking.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_close_then(
    object: *mut rundown,
    completion: *mut rundown_completion,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's completion.
    unsafe { completion::close_then(object, completion) }
}

/// Closes the object if it is open, and returns when everything it granted is released
/// (RUNDOWN_STATUS_OK), or when rundown_cancel has opened it again (RUNDOWN_STATUS_CANCELLED: it is
/// in use, free nothing). What was done under protection happens before the return. Any number of
/// callers may wait, at the same time or later. Thread context, and not while the caller holds
/// protection itself. (It closes what it finds open: an owner that may come when another has opened the
/// object for the next user already has to find that out first, under a lock that both take.)
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
///
/// If a completion was left, it will not run: it is in `*unrun` (which may be NULL), and the caller's
/// again. Otherwise, and after an error, that is NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_cancel(
    object: *mut rundown,
    unrun: *mut *mut rundown_completion,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's out pointer.
    unsafe { completion::cancel(object, unrun) }
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
    shared::step(object.reinit().map(drop))
}

/// Opens an object that was born closed (or completed): the same step as rundown_reinit, but not
/// legal on one that was closed and not completed: RUNDOWN_STATUS_WRONG_STATE. Any context.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_open(object: *mut rundown) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.open().map(drop))
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

/// How many protections are held: exact while nothing is acquired or released, else a guess that may be
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
    let object = unsafe { get(object) };
    // SAFETY: the caller's room.
    unsafe { shared::racy_counts(object, counts, room) }
}

/// How many more protections than were released on a slot can be acquired there: 2^59 by the number of
/// slots, rounded up to a power of two. Beyond it, RUNDOWN_STATUS_FULL. Any context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_capacity(object: *const rundown) -> u64 {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.capacity()
}

/// Puts what is held into `holders`, an entry for each acquire that is not released as a whole, as many
/// as there are and as there is room for; returns how many there are. Always 0 if the library was built
/// without feature `diagnosis`. Racy. Any context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_racy_holders(
    object: *const rundown,
    holders: *mut rundown_holder,
    room: size_t,
) -> size_t {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's room.
    unsafe { holders::racy_holders(object, holders, room) }
}
