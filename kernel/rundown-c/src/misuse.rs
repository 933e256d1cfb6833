//! Broken promises of callers, as the platform hears of them.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt;

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
    /// Over-release: how many were released, by this call or in excess. Otherwise 0.
    pub released: u64,
    /// One line of English, valid during the call.
    pub text: *const c_char,
}

/// Tells the platform; without its ear, this panics.
pub(crate) fn report(what: &Misuse) {
    let (kind, object, held, released) = match what {
        Misuse::OverRelease {
            object,
            held,
            released,
        } => (
            rundown_misuse_kind::OverRelease,
            object.get(),
            *held,
            *released,
        ),
        Misuse::OutOfRange { object } => (rundown_misuse_kind::OutOfRange, object.get(), 0, 0),
        _ => (rundown_misuse_kind::Other, 0, 0, 0),
    };
    tell(kind, object, held, released, what);
}

fn tell(
    kind: rundown_misuse_kind,
    object: usize,
    held: i64,
    released: u64,
    message: impl fmt::Display,
) {
    let Some(misuse) = platform::table().misuse else {
        panic!("{message}");
    };
    let text = Text::of(message);
    let what = rundown_misuse {
        kind,
        object,
        held,
        released,
        text: text.as_ptr(),
    };
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
    tell(
        rundown_misuse_kind::IllegalCall,
        object.addr(),
        0,
        0,
        format_args!("rundown: {call} on the object at {object:p}: {why}"),
    );
}
