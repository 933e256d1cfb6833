//! Broken promises of callers, as they are reported to the platform.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::{fmt, ptr};

use ::rundown::Misuse;

use crate::answer::rundown_status;
use crate::platform;
use crate::text::Text;

/// What kind of promise was broken.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rundown_misuse_kind {
    /// More was released than was held.
    OverRelease = 0,
    /// A count left the range that it can have. The object is of no use any more: once closed, it stays
    /// RUNDOWN_STATE_CLOSING for ever, and a wait never returns.
    OutOfRange = 1,
    /// A call that cannot return an error (the Windows names) was not legal.
    IllegalCall = 2,
    /// Something else: see the text.
    Other = 3,
    /// More was released under a tag than is held under it. It was released nevertheless. Only a library
    /// with feature `diagnosis` finds this.
    WrongTag = 4,
}

/// A broken promise of a caller.
#[repr(C)]
pub struct rundown_misuse {
    /// What kind.
    pub kind: rundown_misuse_kind,
    /// The object's address, as a number: it may be gone.
    pub object: usize,
    /// Over-release: how many were held. Otherwise 0.
    pub held: i64,
    /// Over-release: how many were released, by this call or in excess. Wrong tag: how many of those that
    /// this call has released were not held under it. Otherwise 0.
    pub released: u64,
    /// Wrong tag: which. Otherwise NULL.
    pub tag: *const c_void,
    /// One line of English, valid during the call.
    pub text: *const c_char,
}

/// Calls the platform's `misuse`, or panics if it has none.
pub(crate) fn report(misuse: &Misuse) {
    let mut what = rundown_misuse {
        kind: rundown_misuse_kind::Other,
        object: 0,
        held: 0,
        released: 0,
        tag: ptr::null(),
        text: ptr::null(),
    };
    match *misuse {
        Misuse::OverRelease {
            object,
            held,
            released,
        } => {
            what.kind = rundown_misuse_kind::OverRelease;
            what.object = object.get();
            what.held = held;
            what.released = released;
        }
        Misuse::OutOfRange { object } => {
            what.kind = rundown_misuse_kind::OutOfRange;
            what.object = object.get();
        }
        Misuse::WrongTag {
            object,
            tag,
            released,
        } => {
            what.kind = rundown_misuse_kind::WrongTag;
            what.object = object.get();
            what.released = released.into();
            what.tag = ptr::without_provenance(tag.get());
        }
        _ => {}
    }
    hand_over(what, misuse);
}

/// To the platform, with the message as its text.
fn hand_over(mut what: rundown_misuse, message: impl fmt::Display) {
    let Some(misuse) = platform::table().misuse else {
        panic!("{message}");
    };
    let text: Text = Text::of(message);
    what.text = text.as_ptr();
    // SAFETY: the platform's function, with a value that lives for the call.
    unsafe { misuse(&raw const what) };
}

/// Reports that a call was not legal, to the platform's misuse function: for callers that have no
/// error to return, as the Windows names do. `call` is its name, `status` what was wrong. Any context
/// that the platform's function can stand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_illegal_call(
    call: *const c_char,
    object: *const c_void,
    status: c_int,
) {
    // SAFETY: the caller's text, ended by a zero.
    let call = unsafe { CStr::from_ptr(call) }.to_str();
    let why = rundown_status::text(status).to_str();
    let (call, why) = (call.unwrap_or("a call"), why.unwrap_or(""));
    let what = rundown_misuse {
        kind: rundown_misuse_kind::IllegalCall,
        object: object.addr(),
        held: 0,
        released: 0,
        tag: ptr::null(),
        text: ptr::null(),
    };
    hand_over(
        what,
        format_args!("rundown: {call} on the object at {object:p}: {why}"),
    );
}
