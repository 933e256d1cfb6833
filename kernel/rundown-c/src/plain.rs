//! `struct rundown_ref`: the plain variant, by value.

use core::ffi::c_void;
use core::mem::transmute;

use ::rundown::PlainRundown;

use crate::answer::{rundown_state, rundown_status};
use crate::completion::{self, rundown_completion};
use crate::holders::{self, rundown_holder};
use crate::platform::{self, Sleep, System};
use crate::shared::{self, size_t};

type Object = PlainRundown<System>;

/// Rundown protection with one shared counter: small, and slow when many CPUs use it at once.
/// Initialise it by rundown_ref_init, or statically with RUNDOWN_REF_OPEN or RUNDOWN_REF_CLOSED, and
/// leave its members alone. It must not be copied or moved while it is in use.
#[repr(C)]
pub struct rundown_ref {
    /// Opaque: state and count.
    pub word: u64,
    /// Opaque: what rundown_ref_close_then left.
    pub completion: *mut c_void,
}

// The values of RUNDOWN_REF_OPEN and RUNDOWN_REF_CLOSED in the header (cbindgen.toml).
const OPEN: [u64; 2] = [0, 0];
const CLOSED: [u64; 2] = [3, 0];
const _: () = assert!(is(Object::new(), OPEN));
const _: () = assert!(is(Object::new().born_closed(), CLOSED));
const _: () = assert!(size_of::<Object>() == size_of::<rundown_ref>());
const _: () = assert!(align_of::<Object>() == align_of::<rundown_ref>());

const fn is(object: Object, words: [u64; 2]) -> bool {
    // SAFETY: two words, the second one a null pointer.
    let made = unsafe { transmute::<Object, [u64; 2]>(object) };
    made[0] == words[0] && made[1] == words[1]
}

unsafe fn get<'a>(object: *const rundown_ref) -> &'a Object {
    // SAFETY: the caller's pointer to an initialised object (crate documentation), of that size and
    // alignment. No reference to a `rundown_ref` is ever made.
    unsafe { &*object.cast() }
}

/// Makes an open object, where none is in use. Any context.
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
    unsafe { object.cast::<Object>().write(Object::new().born_closed()) };
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
    shared::granted(object.acquire())
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
    shared::granted(object.acquire_many(n))
}

/// Like rundown_acquire_held.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_acquire_held(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller holds protection.
    shared::granted(unsafe { object.acquire_held() })
}

/// Like rundown_acquire_held_many.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_acquire_held_many(
    object: *mut rundown_ref,
    n: u32,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller holds protection.
    shared::granted(unsafe { object.acquire_held_many(n) })
}

/// Like rundown_acquire_tagged.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_acquire_tagged(
    object: *mut rundown_ref,
    n: u32,
    tag: *const c_void,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::granted(object.acquire_tagged(n, shared::tag(tag)))
}

/// Like rundown_acquire_held_tagged.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_acquire_held_tagged(
    object: *mut rundown_ref,
    n: u32,
    tag: *const c_void,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller holds protection.
    shared::granted(unsafe { object.acquire_held_tagged(n, shared::tag(tag)) })
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

/// Like rundown_release_tagged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_release_tagged(
    object: *mut rundown_ref,
    n: u32,
    tag: *const c_void,
) {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller owns what it releases.
    unsafe { object.release_tagged(n, shared::tag(tag)) }
}

/// Like rundown_close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_close(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    object.close().into()
}

/// Like rundown_close_all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_close_all(objects: *const *mut rundown_ref, count: size_t) {
    // SAFETY: the caller's array of objects, each of which is an `Object` in memory.
    unsafe { shared::close_all(objects.cast::<&Object>(), count) }
}

/// Like rundown_close_then.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_close_then(
    object: *mut rundown_ref,
    completion: *mut rundown_completion,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's completion.
    unsafe { completion::close_then(object, completion) }
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
pub unsafe extern "C" fn rundown_ref_cancel(
    object: *mut rundown_ref,
    unrun: *mut *mut rundown_completion,
) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's out pointer.
    unsafe { completion::cancel(object, unrun) }
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
    shared::step(object.reinit().map(drop))
}

/// Like rundown_open.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rundown_ref_open(object: *mut rundown_ref) -> rundown_status {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    shared::step(object.open().map(drop))
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

/// Like rundown_racy_counts: one count.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_racy_counts(
    object: *const rundown_ref,
    counts: *mut i64,
    room: size_t,
) -> size_t {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's room.
    unsafe { shared::racy_counts(object, counts, room) }
}

/// How many protections can be held at once: 4194303. Beyond it, RUNDOWN_STATUS_FULL. Any context.
#[unsafe(no_mangle)]
pub extern "C" fn rundown_ref_capacity(object: *const rundown_ref) -> u64 {
    let _ = object;
    const { assert!(Object::CAPACITY == 4_194_303) };
    Object::CAPACITY
}

/// Like rundown_racy_holders.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_racy_holders(
    object: *const rundown_ref,
    holders: *mut rundown_holder,
    room: size_t,
) -> size_t {
    // SAFETY: the caller's object.
    let object = unsafe { get(object) };
    // SAFETY: the caller's room.
    unsafe { holders::racy_holders(object, holders, room) }
}
