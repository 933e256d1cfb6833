//! What calls answer: states and status codes.

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

        impl rundown_status {
            pub(crate) fn text(status: c_int) -> &'static CStr {
                match status {
                    $($number => $text,)*
                    _ => c"unknown status",
                }
            }
        }
    };
}

statuses! {
    Ok = 0, c"done";
    Closed = 1, c"the object is closed";
    Full = 2, c"the object cannot count so many protections";
    AlreadyClosed = 3, c"the object was closed before";
    Superseded = 4, c"the object is being opened again";
    Cancelled = 5, c"the drain was cancelled, the object is in use again";
    Outstanding = 6, c"protection is still held";
    WrongState = 7, c"the call is not legal in the object's state";
    NoSlots = 8, c"an object needs at least one slot";
    TooManySlots = 9, c"no address space holds so many slots";
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
    rundown_status::text(status).as_ptr()
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

impl From<State> for rundown_state {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Closing => Self::Closing,
            State::Draining => Self::Draining,
            State::Drained => Self::Drained,
            State::RunDown => Self::RunDown,
            State::Claimed => Self::Claimed,
        }
    }
}

impl<E> From<Result<(), E>> for rundown_status
where
    Self: From<E>,
{
    fn from(done: Result<(), E>) -> Self {
        done.map_or_else(Self::from, |()| Self::Ok)
    }
}

impl From<CloseOutcome> for rundown_status {
    fn from(outcome: CloseOutcome) -> Self {
        match outcome {
            CloseOutcome::Closed => Self::Ok,
            CloseOutcome::AlreadyClosed => Self::AlreadyClosed,
            CloseOutcome::Superseded => Self::Superseded,
            // Of an object that closes with a barrier: none of these two does.
            CloseOutcome::IllegalContext => Self::WrongState,
        }
    }
}

impl From<WaitOutcome> for rundown_status {
    fn from(outcome: WaitOutcome) -> Self {
        match outcome {
            WaitOutcome::Drained => Self::Ok,
            WaitOutcome::Cancelled => Self::Cancelled,
            // As for a close.
            WaitOutcome::IllegalContext => Self::WrongState,
        }
    }
}

impl From<Refused> for rundown_status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Closed => Self::Closed,
            Refused::Full => Self::Full,
        }
    }
}

impl From<CloseThenError> for rundown_status {
    fn from(error: CloseThenError) -> Self {
        match error {
            CloseThenError::Occupied => Self::Occupied,
            _ => Self::WrongState,
        }
    }
}

impl From<WrongState> for rundown_status {
    fn from(_: WrongState) -> Self {
        Self::WrongState
    }
}
