//! Models: cancelling a drain (S10), against everything that may happen at the same time.
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use models::{Make, Sleep, models, on_cpu, release, release_there, spawn};
use rundown::{Protected, State, WaitOutcome, WrongState};

models!(
    s10_cancel_against_the_last_release,
    s10_cancel_against_one_release_of_two,
    s10_a_canceller_sees_the_latest_closing,
    s10_the_waiter_learns_what_happened bound: 4,
    s10_a_late_acquire_and_release_across_a_cancel per_cpu: 5,
    s10_a_grant_after_a_cancel_sees_what_came_before,
);

/// Drained or cancelled, never both or neither: a thread that sees the object drained may free what
/// it guards.
fn s10_cancel_against_the_last_release<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    let mut drain = rundown.drain();
    let user = spawn(&rundown, |rundown| {
        release_there(rundown);
        rundown.is_drained()
    });
    let cancelled = rundown.cancel();
    let outcome = drain.poll();
    match cancelled {
        Ok(_) => {
            assert_eq!(rundown.state(), State::Open);
            assert_eq!(outcome, Some(WaitOutcome::Cancelled));
        }
        Err(WrongState { found }) => {
            assert_eq!((found, rundown.state()), (State::Drained, State::Drained));
            assert_eq!(outcome, Some(WaitOutcome::Drained));
        }
    }
    assert_ne!(user.join().unwrap(), cancelled.is_ok());
    // Whatever happened: nothing is held, nothing is left over.
    rundown.close();
    assert_eq!(rundown.state(), State::Drained);
}

/// Slots are set to zero by another CPU than those that they belong to: nothing may be lost that is
/// released before, meanwhile or after.
fn s10_cancel_against_one_release_of_two<R: Make>() {
    let rundown = Arc::new(R::new());
    on_cpu(1);
    rundown.acquire_many(2).unwrap();
    on_cpu(0);
    rundown.close();
    let user = spawn(&rundown, release_there);
    rundown.cancel().unwrap();
    rundown.close();
    assert!(!rundown.is_drained(), "one is still held");
    user.join().unwrap();
    assert_eq!((rundown.state(), rundown.racy_held()), (State::Draining, 1));
    release(&rundown);
    assert_eq!(rundown.state(), State::Drained);
}

/// Both may cancel, and then the other one's was the second drain: a waiter for its end learns of
/// it, even after a third close.
fn s10_a_canceller_sees_the_latest_closing<R: Make>() {
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
    release(&rundown);
    assert_eq!(rundown.state(), State::Drained);
}

/// It sleeps while one thread releases and another cancels: it wakes, and learns which was first.
fn s10_the_waiter_learns_what_happened<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    rundown.close();
    let waiter = spawn(&rundown, |rundown| rundown.wait(&Sleep));
    let canceller = spawn(&rundown, |rundown| rundown.cancel());
    release_there(&rundown);
    let cancelled = canceller.join().unwrap();
    match (waiter.join().unwrap(), cancelled) {
        (WaitOutcome::Cancelled, Ok(_)) => assert_eq!(rundown.state(), State::Open),
        (WaitOutcome::Cancelled, Err(_)) => panic!("no cancel succeeded"),
        // The waiter closed the object after the cancel, or the cancel came too late.
        (WaitOutcome::Drained, _) => assert_eq!(rundown.state(), State::Drained),
        (WaitOutcome::IllegalContext, _) => unreachable!("legal everywhere"),
    }
}

/// The user may read the state word before the close and come to its slot after the cancel, or in
/// the middle of it, and release on a slot that is still closed, or after the cancel: the run-down
/// afterwards sees all that was done under protection.
fn s10_a_late_acquire_and_release_across_a_cancel<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), UnsafeCell::new(0)));
    let guard = object.try_acquire().unwrap();
    let user = spawn(&object, |object| {
        on_cpu(0);
        let Some(guard) = object.try_acquire() else {
            return 0;
        };
        // SAFETY: the only user.
        guard.with_mut(|value| unsafe { *value = 1 });
        on_cpu(1);
        1
    });
    object.close();
    object.cancel().unwrap_or_else(|error| panic!("held: {error}"));
    object.close();
    on_cpu(1);
    drop(guard);
    let value = object.run_down(&Sleep).unwrap();
    // SAFETY: run down. Loom checks that the user's write happens-before.
    let seen = value.with(|value| unsafe { *value });
    assert_eq!(seen, user.join().unwrap());
}

/// The owner changes its mind, and something else before that.
fn s10_a_grant_after_a_cancel_sees_what_came_before<R: Make>() {
    let shared = Arc::new((R::new(), UnsafeCell::new(0)));
    shared.0.acquire().unwrap();
    shared.0.close();
    let user = spawn(&shared, |shared| {
        on_cpu(1);
        if let Some(_guard) = shared.0.try_acquire() {
            // SAFETY: closed before this thread began, so the cancel and its write came first.
            shared.1.with(|value| assert_eq!(unsafe { *value }, 1));
        }
    });
    // SAFETY: nothing reads it before the cancel.
    shared.1.with_mut(|value| unsafe { *value = 1 });
    shared.0.cancel().unwrap();
    user.join().unwrap();
}
