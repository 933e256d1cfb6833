//! What calls answer: states and status codes.

use core::ffi::{CStr, c_char, c_int};

use ::rundown::{CloseOutcome, CloseThenError, Refused, State, WaitOutcome};

/// What a call did. Zero is what was asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rundown_status {
    /// Done.
    Ok = 0,
    /// Acquire: refused, the object is closed.
    Closed = 1,
    /// Acquire: refused, the object is open but cannot count that many more.
    Full = 2,
    /// Close: it was closed before. Nothing changed. Not a failure.
    AlreadyClosed = 3,
    /// Close: another caller is opening the object again right now. That is later in the order than
    /// this close and wins: the object will open. Nothing changed.
    Superseded = 4,
    /// Wait: rundown_cancel has opened the object again. It is in use: free nothing.
    Cancelled = 5,
    /// Something is still held: the object has not drained yet (try_wait, a missed deadline), or must
    /// not be freed.
    Outstanding = 6,
    /// The call is not legal in the state the object is in. Nothing changed.
    WrongState = 7,
    /// An object needs at least one slot.
    NoSlots = 8,
    /// No address space holds so many slots.
    TooManySlots = 9,
    /// The memory is not aligned as rundown_layout_for says.
    Misaligned = 10,
    /// The memory is smaller than rundown_layout_for says.
    TooSmall = 11,
    /// The platform's allocator has no memory.
    NoMemory = 12,
    /// The platform has no allocator.
    NoAllocator = 13,
    /// The platform has no clock.
    NoClock = 14,
    /// The platform was set before, or an object was made without one: too late to set it.
    PlatformInUse = 15,
    /// Of two functions that need each other the table has only one; or its `size` is not the
    /// library's: header and library are of different versions.
    PlatformInvalid = 16,
    /// Only from the Windows names: flags that have no documented meaning.
    BadFlags = 17,
    /// Close-then: the object has a completion already. Nothing changed; this one will not run.
    Occupied = 18,
}

impl rundown_status {
    /// Every status, with what it means.
    const TEXTS: [(Self, &CStr); 19] = [
        (Self::Ok, c"done"),
        (Self::Closed, c"the object is closed"),
        (Self::Full, c"the object cannot count so many protections"),
        (Self::AlreadyClosed, c"the object was closed before"),
        (Self::Superseded, c"the object is being opened again"),
        (
            Self::Cancelled,
            c"the drain was cancelled, the object is in use again",
        ),
        (Self::Outstanding, c"protection is still held"),
        (
            Self::WrongState,
            c"the call is not legal in the object's state",
        ),
        (Self::NoSlots, c"an object needs at least one slot"),
        (Self::TooManySlots, c"no address space holds so many slots"),
        (Self::Misaligned, c"the memory is not aligned enough"),
        (Self::TooSmall, c"the memory is too small"),
        (Self::NoMemory, c"out of memory"),
        (Self::NoAllocator, c"the platform has no allocator"),
        (Self::NoClock, c"the platform has no clock"),
        (Self::PlatformInUse, c"a platform is in use already"),
        (
            Self::PlatformInvalid,
            c"the platform lacks half of a pair, or has another version",
        ),
        (Self::BadFlags, c"the flags have no documented meaning"),
        (Self::Occupied, c"the object has a completion already"),
    ];

    pub(crate) fn text(status: c_int) -> &'static CStr {
        let mut all = Self::TEXTS.iter();
        all.find(|(known, _)| *known as c_int == status)
            .map_or(c"unknown status", |(_, text)| text)
    }
}

/// One line about a status, in English, without a full stop. Never null. Any context.
#[unsafe(no_mangle)]
pub extern "C" fn rundown_status_text(status: c_int) -> *const c_char {
    rundown_status::text(status).as_ptr()
}

/// Where an object stands in its life. A snapshot: other CPUs may have moved on already.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rundown_state {
    /// Grants protection.
    Open = 0,
    /// Closed; a caller is still counting what is held, or about to cancel or to run the completion. A
    /// short step; but for ever after RUNDOWN_MISUSE_KIND_OUT_OF_RANGE.
    Closing = 1,
    /// Closed; some protection that it granted is still held.
    Draining = 2,
    /// Closed, and everything granted has been released.
    Drained = 3,
    /// Drained and completed, or born closed.
    RunDown = 4,
    /// Drained, and a caller is opening it again right now. A short step.
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
