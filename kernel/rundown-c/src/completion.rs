//! A completion, as C leaves it: it runs when the object has drained.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use ::rundown::{Completion, Rundown, Variant};

use crate::answer::rundown_status;

#[repr(C)]
pub struct rundown_completion {
    pub run: unsafe extern "C" fn(context: *mut c_void),
    pub context: *mut c_void,
    pub opaque: [*mut c_void; 2],
}

// The object keeps a pointer to `opaque`.
const _: () = assert!(size_of::<Completion>() == size_of::<[*mut c_void; 2]>());
const _: () = assert!(align_of::<Completion>() <= align_of::<rundown_completion>());

/// The call, as the object makes it. `this` is the caller's completion.
unsafe fn call(this: *mut ()) {
    let this = this.cast::<rundown_completion>();
    // SAFETY: it is valid until the function below is called, which may free it.
    let run = unsafe { (*this).run };
    // SAFETY: as above.
    let context = unsafe { (*this).context };
    // SAFETY: the program's function, in a context that it was written for.
    unsafe { run(context) }
}

/// `completion`: the caller's.
pub(crate) unsafe fn close_then<V: Variant + ?Sized>(
    object: &Rundown<V>,
    completion: *mut rundown_completion,
) -> rundown_status {
    // SAFETY: `call` asks no more than the caller promises: a function and a context for every
    // context in which protection is released, and memory that stays until then.
    let inner = unsafe { Completion::new(call, completion.cast()) };
    // SAFETY: the caller's memory.
    let place = unsafe { &raw mut (*completion).opaque }.cast::<Completion>();
    // SAFETY: as large and as aligned, as was asserted.
    unsafe { place.write(inner) };
    // SAFETY: it stays valid until it runs or comes back, as the caller promises.
    unsafe { object.close_then_unchecked(place) }.into()
}

/// `unrun`: null, or the caller's out pointer.
pub(crate) unsafe fn cancel<V: Variant + ?Sized>(
    object: &Rundown<V>,
    unrun: *mut *mut rundown_completion,
) -> rundown_status {
    let (status, left) = match object.cancel() {
        Ok(left) => (rundown_status::Ok, left),
        Err(_) => (rundown_status::WrongState, None),
    };
    if !unrun.is_null() {
        // SAFETY: the caller's out pointer.
        unsafe { unrun.write(left.map_or(ptr::null_mut(), whole)) };
    }
    status
}

/// Back from what `close_then` has left to the caller's completion.
fn whole(place: NonNull<Completion>) -> *mut rundown_completion {
    let offset = offset_of!(rundown_completion, opaque);
    place.as_ptr().wrapping_byte_sub(offset).cast()
}
