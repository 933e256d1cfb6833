//! `struct rundown_ref`: the plain variant, by value.

use core::ffi::c_void;
use core::mem::transmute;

use ::rundown::PlainRundown;

use crate::platform::{self, System};

type Object = PlainRundown<System>;

#[repr(C)]
pub struct rundown_ref {
    pub word: u64,
    pub completion: *mut c_void,
}

// The values of RUNDOWN_REF_OPEN and RUNDOWN_REF_CLOSED in the header.
const OPEN: [u64; 2] = [0, 0];
const CLOSED: [u64; 2] = [3, 0];
const _: () = assert!(is(Object::new(), OPEN));
const _: () = assert!(is(Object::new().born_closed(), CLOSED));
const _: () = assert!(size_of::<Object>() == size_of::<rundown_ref>());
const _: () = assert!(align_of::<Object>() == align_of::<rundown_ref>());
// As the header says.
const _: () = assert!(Object::CAPACITY == 4_194_303);

const fn is(object: Object, words: [u64; 2]) -> bool {
    // SAFETY: two words, the second one a null pointer.
    let made = unsafe { transmute::<Object, [u64; 2]>(object) };
    made[0] == words[0] && made[1] == words[1]
}

pub(crate) unsafe fn get<'a>(object: *const rundown_ref) -> &'a Object {
    // SAFETY: the caller's pointer to an initialised object (crate documentation), of that size and
    // alignment. No reference to a `rundown_ref` is ever made.
    unsafe { &*object.cast() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_init(object: *mut rundown_ref) {
    platform::keep();
    // SAFETY: the caller's memory.
    unsafe { object.cast::<Object>().write(Object::new()) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_ref_init_closed(object: *mut rundown_ref) {
    platform::keep();
    // SAFETY: the caller's memory.
    unsafe { object.cast::<Object>().write(Object::new().born_closed()) };
}

#[unsafe(no_mangle)]
pub extern "C" fn rundown_ref_capacity(object: *const rundown_ref) -> u64 {
    let _ = object;
    Object::CAPACITY
}
