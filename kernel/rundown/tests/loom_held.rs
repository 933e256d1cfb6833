//! Models: holders that take more (S12), against closing, cancelling and others' last release.
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use models::{Make, Sleep, models, on_cpu, release, release_there, spawn};
use rundown::{Protected, Rundown, State, WaitOutcome};

models!(
    /// The clone is in a slot or on the shared count, and in the drain in either case.
    s12_a_clone_against_a_close,
    s12_a_clone_protects_the_value bound: 3,
    s12_a_clone_against_a_cancel_and_a_close bound: 3,
    s12_two_clones_while_draining bound: 3,
);

/// A holder on CPU 0, and its clone, which it gives up on CPU 1.
fn clone_and_drop<R: Make>(rundown: &Rundown<R>) {
    on_cpu(0);
    // SAFETY: the caller's model has acquired one for this thread.
    unsafe { rundown.acquire_held() }.unwrap();
    assert!(!rundown.is_drained(), "two are held");
    release_there(rundown);
    assert!(!rundown.is_drained(), "one is held");
}

fn s12_a_clone_against_a_close<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    let user = spawn(&rundown, clone_and_drop);
    rundown.close();
    assert!(!rundown.is_drained(), "one is held");
    user.join().unwrap();
    one_is_left(&rundown);
}

fn one_is_left<R: Make>(rundown: &Rundown<R>) {
    assert_eq!((rundown.state(), rundown.racy_held()), (State::Draining, 1));
    release(rundown);
    assert_eq!(rundown.state(), State::Drained);
}

fn s12_a_clone_against_a_cancel_and_a_close<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    rundown.close();
    let user = spawn(&rundown, clone_and_drop);
    rundown.cancel().unwrap();
    rundown.close();
    assert!(!rundown.is_drained(), "one is held");
    user.join().unwrap();
    one_is_left(&rundown);
}

/// The clone is used after its original is gone, and the run-down sees all of it.
fn s12_a_clone_protects_the_value<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), UnsafeCell::new(0)));
    let user = spawn(&object, |object| {
        on_cpu(1);
        let Some(guard) = object.try_acquire() else {
            return 0;
        };
        let clone = guard.clone();
        drop(guard);
        // SAFETY: the only user.
        clone.with_mut(|value| unsafe { *value += 1 });
        on_cpu(0);
        1
    });
    let value = object.run_down(&Sleep).unwrap();
    // SAFETY: run down. Loom checks that the user's write happens-before.
    let seen = value.with(|value| unsafe { *value });
    assert_eq!(seen, user.join().unwrap());
}

/// Each of two holders takes one more and drops both: nothing is left over or ends too early.
fn s12_two_clones_while_draining<R: Make>() {
    let shared = Arc::new((R::new(), AtomicUsize::new(2)));
    shared.0.acquire_many(2).unwrap();
    let mut drain = shared.0.drain();
    let user = |shared: &(Rundown<R>, AtomicUsize), cpu| {
        on_cpu(cpu);
        // SAFETY: one of the two is this thread's, until it is released.
        unsafe { shared.0.acquire_held() }.unwrap();
        release(&shared.0);
        shared.1.fetch_sub(1, Ordering::Relaxed);
        release(&shared.0);
    };
    let other = spawn(&shared, move |shared| user(shared, 1));
    user(&shared, 0);
    if drain.poll().is_some() {
        assert_eq!(shared.1.load(Ordering::Relaxed), 0, "drained while in use");
    }
    other.join().unwrap();
    assert_eq!(drain.poll(), Some(WaitOutcome::Drained));
}
