//! What both kinds do in the same way.

use ::rundown::{Outstanding, Rundown, WaitOutcome, WrongState};

use crate::answer::rundown_status;
use crate::platform::{self, Sleep, System};

/// C's name, so that the header has it, too.
pub(crate) type size_t = usize;

pub(crate) fn step(done: Result<(), WrongState>) -> rundown_status {
    done.map_or(rundown_status::WrongState, |()| rundown_status::Ok)
}

/// `held`: null, or the caller's out pointer.
pub(crate) unsafe fn try_wait<R: Rundown>(object: &R, held: *mut i64) -> rundown_status {
    let outcome = object.try_wait().map(|()| WaitOutcome::Drained);
    // SAFETY: the same contract.
    unsafe { waited(outcome, held) }
}

/// `held`: null, or the caller's out pointer.
pub(crate) unsafe fn wait_deadline<R: Rundown<Platform = System>>(
    object: &R,
    deadline: u64,
    held: *mut i64,
) -> rundown_status {
    if platform::table().now.is_none() {
        return rundown_status::NoClock;
    }
    let outcome = object.wait_deadline(&Sleep, deadline);
    // SAFETY: the same contract.
    unsafe { waited(outcome, held) }
}

unsafe fn waited(outcome: Result<WaitOutcome, Outstanding>, held: *mut i64) -> rundown_status {
    let (status, count) = match outcome {
        Ok(outcome) => (outcome.into(), 0),
        Err(outstanding) => (rundown_status::Outstanding, outstanding.held),
    };
    if !held.is_null() {
        // SAFETY: the caller's out pointer.
        unsafe { held.write(count) };
    }
    status
}
