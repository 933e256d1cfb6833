//! `struct rundown_ref`: the plain kind, one word by value.

use core::mem::transmute;

use ::rundown::{Rundown, RundownRef};

use crate::answer::{rundown_state, rundown_status};
use crate::platform::{self, Sleep, System};
use crate::shared;

type Object = RundownRef<System>;

/// Rundown protection with one shared counter: small, and slow when many CPUs use it at once.
/// Initialise it by rundown_ref_init, or statically with RUNDOWN_REF_OPEN or RUNDOWN_REF_CLOSED, and
/// leave its word alone. It must not be copied or moved while it is in use.
#[repr(C)]
pub struct rundown_ref {
    /// Opaque.
    pub word: u64,
}

// The values of RUNDOWN_REF_OPEN and RUNDOWN_REF_CLOSED in the header (cbindgen.toml).
const OPEN: u64 = 0;
const CLOSED: u64 = 2;
// SAFETY: a word, in both.
const _: () = assert!(unsafe { transmute::<Object, u64>(Object::new()) } == OPEN);
// SAFETY: as above.
const _: () = assert!(unsafe { transmute::<Object, u64>(Object::closed()) } == CLOSED);
const _: () = assert!(size_of::<Object>() == size_of::<rundown_ref>());
const _: () = assert!(align_of::<Object>() == align_of::<rundown_ref>());

unsafe fn get<'a>(object: *const rundown_ref) -> &'a Object {
    // SAFETY: the caller's pointer to an initialised object (crate documentation), of that size and
    // alignment. No reference to a plain `u64` is ever made of it.
    unsafe { &*object.cast() }
}

/// Makes an open object, where nobody uses one. Any context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_init(object: *mut rundown_ref) {
    platform::keep();
    // SAFETY: the caller's memory.
    unsafe { object.cast::<Object>().write(Object::new()) };
}

/// Like rundown_ref_init, but the object is born closed: run down, until rundown_ref_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_init_closed(object: *mut rundown_ref) {
    platform::keep();
    // SAFETY: the caller's memory.
    unsafe { object.cast::<Object>().write(Object::closed()) };
}

/// Like rundown_try_acquire.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_try_acquire(object: *mut rundown_ref) -> bool {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.acquire().is_ok()
}

/// Like rundown_try_acquire_many.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_try_acquire_many(object: *mut rundown_ref, n: u32) -> bool {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.acquire_many(n).is_ok()
}

/// Like rundown_acquire.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_acquire(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object
        .acquire()
        .map_or_else(rundown_status::from, |()| rundown_status::Ok)
}

/// Like rundown_acquire_many.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_acquire_many(
    object: *mut rundown_ref,
    n: u32,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object
        .acquire_many(n)
        .map_or_else(rundown_status::from, |()| rundown_status::Ok)
}

/// Like rundown_release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_release(object: *mut rundown_ref) {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller owns what it releases.
    unsafe { object.release() }
}

/// Like rundown_release_many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_release_many(object: *mut rundown_ref, n: u32) {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller owns what it releases.
    unsafe { object.release_many(n) }
}

/// Like rundown_close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_close(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.close().into()
}

/// Like rundown_wait.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_wait(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.wait(&Sleep).into()
}

/// Like rundown_try_wait.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_try_wait(
    object: *mut rundown_ref,
    held: *mut i64,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's out pointer.
    unsafe { shared::try_wait(object, held) }
}

/// Like rundown_wait_deadline.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_wait_deadline(
    object: *mut rundown_ref,
    deadline: u64,
    held: *mut i64,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's out pointer.
    unsafe { shared::wait_deadline(object, deadline, held) }
}

/// Like rundown_cancel.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_cancel(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.cancel())
}

/// Like rundown_complete.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_complete(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.complete())
}

/// Like rundown_reinit.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_reinit(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.reinit())
}

/// Like rundown_open.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_open(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.open())
}

/// Like rundown_get_state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_get_state(object: *const rundown_ref) -> rundown_state {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.state().into()
}

/// Like rundown_is_drained.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_is_drained(object: *const rundown_ref) -> bool {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.is_drained()
}

/// Like rundown_racy_held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_racy_held(object: *const rundown_ref) -> i64 {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.racy_held()
}
