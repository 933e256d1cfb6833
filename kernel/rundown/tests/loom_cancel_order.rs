//! Models: what is seen across a cancel (S10), by users and by other cancellers.
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use models::{Make, models, on_cpu, spawn};
use rundown::{State, WaitOutcome};

models!(
    what_has_drained_is_not_cancelled,
    what_came_before_a_cancel_is_seen,
    a_canceller_sees_the_latest_closing,
);

/// Who sees the object drained may free what it guards: no cancel succeeds then, nor has one before.
fn what_has_drained_is_not_cancelled<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    rundown.close();
    let user = spawn(&rundown, |rundown| {
        on_cpu(1);
        // SAFETY: acquired above.
        unsafe { rundown.release() };
        rundown.is_drained()
    });
    let cancelled = rundown.cancel().is_ok();
    assert_ne!(user.join().unwrap(), cancelled);
}

/// The object is closed before the user comes, so a grant is after the cancel.
fn what_came_before_a_cancel_is_seen<R: Make>() {
    let shared = Arc::new((R::new(), UnsafeCell::new(0)));
    shared.0.acquire().unwrap();
    shared.0.close();
    let user = spawn(&shared, |shared| {
        on_cpu(1);
        if let Some(_guard) = shared.0.try_acquire() {
            // SAFETY: open again, so the owner has written.
            shared.1.with(|value| assert_eq!(unsafe { *value }, 1));
        }
    });
    // SAFETY: nobody has access before it is open again.
    shared.1.with_mut(|value| unsafe { *value = 1 });
    shared.0.cancel().unwrap();
    user.join().unwrap();
}

/// One cancels and closes again; the other cancels either closing. If both cancel, the other's was the
/// second, and whoever waits for the end of the second closing learns of it, however late.
fn a_canceller_sees_the_latest_closing<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    rundown.close();
    let other = spawn(&rundown, |rundown| rundown.cancel().is_ok());
    let cancelled = rundown.cancel().is_ok();
    let mut drain = rundown.drain();
    let both = other.join().unwrap() && cancelled;
    if both {
        assert_eq!(rundown.state(), State::Open);
        rundown.close();
        assert_eq!(drain.poll(), Some(WaitOutcome::Cancelled));
    }
    rundown.close();
    assert_eq!(rundown.state(), State::Draining);
    // SAFETY: acquired above.
    unsafe { rundown.release() };
    assert_eq!(rundown.state(), State::Drained);
}
