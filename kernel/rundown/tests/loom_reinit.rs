//! Models: re-init against acquires of the generation before, and hand-over between owners (S8).
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use models::{Make, Sleep, models, on_cpu, spawn};
use rundown::{Protected, Spin, State, WaitOutcome};

models!(
    a_stale_acquire_meets_the_next_generation per_cpu: 6,
    refused_acquires_do_not_reach_the_next_generation,
    completion_hands_over,
    the_taker_hands_over_to_the_publisher,
    a_wait_during_a_reinit_misses_no_grant bound: 3,
);

/// The user may read the state word in the first generation, be granted protection on a slot that
/// just re-opened, and release it on one that has not.
fn a_stale_acquire_meets_the_next_generation<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 1));
    let user = spawn(&object, |object| {
        on_cpu(0);
        if let Some(guard) = object.try_acquire() {
            on_cpu(1);
            assert!(*guard == 1 || *guard == 2);
        }
    });
    assert_eq!(object.run_down(&Spin), Ok(1));
    object.publish(2).unwrap();
    assert_eq!(object.run_down(&Spin), Ok(2));
    user.join().unwrap();
}

/// The additions of refused acquires to closed slots must not count in the next generation.
fn refused_acquires_do_not_reach_the_next_generation<R: Make>() {
    let rundown = Arc::new(R::new());
    let user = spawn(&rundown, |rundown| drop(rundown.try_acquire_many(5)));
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    rundown.reinit().unwrap();
    user.join().unwrap();
    rundown.close();
    assert!(rundown.is_drained());
}

/// One owner waits, uses the guarded thing for the last time, and marks the object run down; the
/// other re-opens it.
fn completion_hands_over<R: Make>() {
    let shared = Arc::new((R::new(), UnsafeCell::new(0)));
    let first = spawn(&shared, |shared| {
        assert_eq!(shared.0.wait(&Spin), WaitOutcome::Drained);
        // SAFETY: drained, and the other owner waits for the completion.
        shared.1.with_mut(|value| unsafe { *value = 1 });
        shared.0.complete().unwrap();
    });
    while shared.0.state() != State::RunDown {
        thread::yield_now();
    }
    // SAFETY: run down.
    shared.1.with_mut(|value| unsafe { *value = 2 });
    shared.0.reinit().unwrap();
    first.join().unwrap();
}

fn the_taker_hands_over_to_the_publisher<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 1));
    let taker = spawn(&object, |object| assert_eq!(object.run_down(&Spin), Ok(1)));
    let mut value = 2;
    while let Err(refused) = object.publish(value) {
        value = refused.value;
        thread::yield_now();
    }
    assert_eq!(*object.try_acquire().unwrap(), 2);
    taker.join().unwrap();
}

/// A wait that starts while the object re-opens must not overlook protection granted before.
fn a_wait_during_a_reinit_misses_no_grant<R: Make>() {
    let shared = Arc::new((R::new(), AtomicBool::new(false)));
    let user = spawn(&shared, |shared| {
        on_cpu(0);
        if let Some(guard) = shared.0.try_acquire() {
            shared.1.store(true, Ordering::SeqCst);
            shared.1.store(false, Ordering::SeqCst);
            drop(guard);
        }
    });
    let owner = spawn(&shared, |shared| {
        assert_eq!(shared.0.wait(&Sleep), WaitOutcome::Drained);
        // The other waiter may run the object down again first, and re-opens nothing.
        let _ = shared.0.reinit();
    });
    let held_before = shared.1.load(Ordering::SeqCst);
    assert_eq!(shared.0.wait(&Sleep), WaitOutcome::Drained);
    if held_before {
        assert!(!shared.1.load(Ordering::SeqCst), "returned although protection is held");
    }
    user.join().unwrap();
    owner.join().unwrap();
}
