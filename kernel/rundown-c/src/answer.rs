//! The answers of calls: states and status codes.

use core::ffi::{CStr, c_char, c_int};

use ::rundown::{CloseOutcome, CloseThenError, Refused, State, WaitOutcome, WrongState};

/// Every status, with its number and what it means.
macro_rules! statuses {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum rundown_status {
            $($name = $number,)*
        }

        pub(crate) fn text(status: c_int) -> &'static CStr {
            match status {
                $($number => $text,)*
                _ => c"unknown status",
            }
        }
    };
}

statuses! {
    Ok = 0, c"done";
    Closed = 1, c"the object is closed";
    Full = 2, c"the object cannot count that many protections";
    AlreadyClosed = 3, c"the object was closed before";
    Superseded = 4, c"the object is being opened again";
    Cancelled = 5, c"the drain was cancelled, the object is in use again";
    Outstanding = 6, c"protection is still held";
    WrongState = 7, c"the call is not legal in the object's state";
    NoSlots = 8, c"an object needs at least one slot";
    TooManySlots = 9, c"no address space holds that many slots";
    Misaligned = 10, c"the memory is not aligned enough";
    TooSmall = 11, c"the memory is too small";
    NoMemory = 12, c"out of memory";
    NoAllocator = 13, c"the platform has no allocator";
    NoClock = 14, c"the platform has no clock";
    PlatformInUse = 15, c"a platform is in use already";
    PlatformInvalid = 16, c"the platform lacks half of a pair, or has another version";
    BadFlags = 17, c"the flags have no documented meaning";
    Occupied = 18, c"the object has a completion already";
    GenerationOver = 19, c"that generation is over, and the object was opened again";
}

#[unsafe(no_mangle)]
pub extern "C" fn rundown_status_text(status: c_int) -> *const c_char {
    text(status).as_ptr()
}

/// How each of Rust's answers is said in C.
macro_rules! said {
    ($from:ident as $to:ident { $($pattern:pat => $name:ident,)* }) => {
        impl From<$from> for $to {
            fn from(answer: $from) -> Self {
                match answer {
                    $($pattern => Self::$name,)*
                }
            }
        }
    };
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rundown_state {
    Open = 0,
    Closing = 1,
    Draining = 2,
    Drained = 3,
    RunDown = 4,
    Claimed = 5,
}

said! { State as rundown_state {
    State::Open => Open,
    State::Closing => Closing,
    State::Draining => Draining,
    State::Drained => Drained,
    State::RunDown => RunDown,
    State::Claimed => Claimed,
} }

impl<E> From<Result<(), E>> for rundown_status
where
    Self: From<E>,
{
    fn from(done: Result<(), E>) -> Self {
        done.map_or_else(Self::from, |()| Self::Ok)
    }
}

said! { CloseOutcome as rundown_status {
    CloseOutcome::Closed => Ok,
    CloseOutcome::AlreadyClosed => AlreadyClosed,
    CloseOutcome::Superseded => Superseded,
    // Of an object that closes with a barrier: none of these two does.
    CloseOutcome::IllegalContext => WrongState,
} }

said! { WaitOutcome as rundown_status {
    WaitOutcome::Drained => Ok,
    WaitOutcome::Cancelled => Cancelled,
    // As for a close.
    WaitOutcome::IllegalContext => WrongState,
} }

said! { Refused as rundown_status {
    Refused::Closed => Closed,
    Refused::Full => Full,
} }

said! { CloseThenError as rundown_status {
    CloseThenError::Occupied => Occupied,
    _ => WrongState,
} }

said! { WrongState as rundown_status {
    _ => WrongState,
} }
