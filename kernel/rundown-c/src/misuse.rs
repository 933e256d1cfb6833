//! Broken promises of callers, as they are reported to the platform.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::{fmt, ptr};

use ::rundown::Misuse;

use crate::answer;
use crate::platform;
use crate::text::Text;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rundown_misuse_kind {
    OverRelease = 0,
    OutOfRange = 1,
    IllegalCall = 2,
    Other = 3,
    WrongTag = 4,
}

#[repr(C)]
pub struct rundown_misuse {
    pub kind: rundown_misuse_kind,
    pub object: usize,
    pub held: i64,
    pub released: u64,
    pub tag: *const c_void,
    pub text: *const c_char,
}

impl rundown_misuse {
    /// Without what only some kinds have.
    const fn of(kind: rundown_misuse_kind, object: usize) -> Self {
        Self { kind, object, held: 0, released: 0, tag: ptr::null(), text: ptr::null() }
    }
}

/// Calls the platform's `misuse`, or panics if it has none.
pub(crate) fn report(misuse: &Misuse) {
    use rundown_misuse_kind::{Other, OutOfRange, OverRelease, WrongTag};
    let what = match *misuse {
        Misuse::OverRelease { object, held, released } => {
            rundown_misuse { held, released, ..rundown_misuse::of(OverRelease, object.get()) }
        }
        Misuse::OutOfRange { object } => rundown_misuse::of(OutOfRange, object.get()),
        Misuse::WrongTag { object, tag, released } => rundown_misuse {
            released: released.into(),
            tag: ptr::without_provenance(tag.0),
            ..rundown_misuse::of(WrongTag, object.get())
        },
        _ => rundown_misuse::of(Other, 0),
    };
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

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rundown_illegal_call(
    call: *const c_char,
    object: *const c_void,
    status: c_int,
) {
    // SAFETY: the caller's text, ended by a zero.
    let call = unsafe { CStr::from_ptr(call) }.to_str();
    let why = answer::text(status).to_str();
    let (call, why) = (call.unwrap_or("a call"), why.unwrap_or(""));
    let what = rundown_misuse::of(rundown_misuse_kind::IllegalCall, object.addr());
    hand_over(what, format_args!("rundown: {call} on the object at {object:p}: {why}"));
}
