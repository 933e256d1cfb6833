//! Models: acquire against close (S1, S2), the last release (S3), release on another CPU (S4), of
//! several at once (S7), and while the slots are drained.
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use models::{Make, Sleep, models, on_cpu, release, release_there, spawn};
use rundown::{Protected, Spin, State, WaitOutcome};

models!(
    acquire_against_run_down,
    a_refusal_is_final,
    release_on_another_cpu,
    two_waiters_see_what_was_done bound: 3,
    s3_the_memory_may_serve_another_object,
    s7_portions_against_a_waiter,
    no_state_comes_back,
);

/// The value's cell is loom's: any access that does not happen-before its removal fails the model.
fn acquire_against_run_down<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 7));
    let user = spawn(&object, |object| {
        on_cpu(1);
        if let Some(guard) = object.try_acquire() {
            assert_eq!(*guard, 7);
        }
    });
    assert_eq!(object.run_down(&Sleep), Ok(7));
    user.join().unwrap();
}

fn a_refusal_is_final<R: Make>() {
    let rundown = Arc::new(R::new());
    let user = spawn(&rundown, |rundown| {
        on_cpu(0);
        let first = rundown.try_acquire().is_some();
        // The slot that the closer reaches last.
        on_cpu(1);
        let second = rundown.try_acquire().is_some();
        assert!(first || !second, "granted after a refusal");
    });
    rundown.close();
    assert!(rundown.try_acquire().is_none(), "granted after close");
    user.join().unwrap();
}

fn release_on_another_cpu<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 7));
    let user = spawn(&object, |object| {
        on_cpu(0);
        if let Some(guard) = object.try_acquire() {
            on_cpu(1);
            assert_eq!(*guard, 7);
            drop(guard);
        }
        on_cpu(1);
        if let Some(guard) = object.try_acquire() {
            on_cpu(0);
            drop(guard);
        }
    });
    assert_eq!(object.run_down(&Spin), Ok(7));
    user.join().unwrap();
}

/// They sleep: two that spin would keep loom from ever running the user.
fn two_waiters_see_what_was_done<R: Make>() {
    let shared = Arc::new((R::new(), UnsafeCell::new(0)));
    // The reference moves to the user's thread, and is released there.
    shared.0.acquire().unwrap();
    let user = spawn(&shared, |shared| {
        on_cpu(1);
        // SAFETY: only the holder of this one reference writes.
        shared.1.with_mut(|value| unsafe { *value = 1 });
        release(&shared.0);
    });
    let waiter = spawn(&shared, |shared| {
        assert_eq!(shared.0.wait(&Sleep), WaitOutcome::Drained);
        // SAFETY: drained; the other waiter reads, too.
        shared.1.with(|value| assert_eq!(unsafe { *value }, 1));
    });
    assert_eq!(shared.0.wait(&Sleep), WaitOutcome::Drained);
    // SAFETY: drained; the other waiter reads, too.
    shared.1.with(|value| assert_eq!(unsafe { *value }, 1));
    user.join().unwrap();
    waiter.join().unwrap();
}

/// The address of an object that its owner frees while others only know the address.
struct Address<R>(*mut R);

// SAFETY: it is used by the contract of the model below.
unsafe impl<R: Send + Sync> Send for Address<R> {}

/// The owner puts another object into the memory the moment the wait returns. Whatever the last
/// release still did to the old one would show on the new one.
fn s3_the_memory_may_serve_another_object<R: Make>() {
    let memory = Address(Box::into_raw(Box::new(R::new())));
    let (object, address) = (memory.0, Address(memory.0));
    // SAFETY: alive until the wait below has returned.
    unsafe { &*object }.acquire().unwrap();
    let user = thread::spawn(move || {
        let address = address;
        // SAFETY: it is held, so alive until the release has let the waiter go.
        release_there(unsafe { &*address.0 });
    });
    // SAFETY: alive: only this thread ends it.
    let outcome = unsafe { &*object }.wait(&Sleep);
    assert_eq!(outcome, WaitOutcome::Drained);
    // SAFETY: drained, so nothing else uses it (S3, under test).
    unsafe { object.drop_in_place() };
    // SAFETY: the memory is this thread's, and fits.
    unsafe { object.write(R::new()) };
    // SAFETY: just written.
    let other = unsafe { &*object };
    other.acquire().unwrap();
    user.join().unwrap();
    assert_eq!((other.state(), other.racy_held()), (State::Open, 1));
    other.close();
    release(other);
    assert_eq!(other.state(), State::Drained);
    // SAFETY: from a box, and nothing uses it any more.
    drop(unsafe { Box::from_raw(object) });
}

/// All or none: a waiter never sees a part of a portion.
fn s7_portions_against_a_waiter<R: Make>() {
    let shared = Arc::new((R::new(), UnsafeCell::new(0)));
    let user = spawn(&shared, |shared| {
        on_cpu(0);
        let Some(mut guards) = shared.0.try_acquire_many(3) else {
            return;
        };
        // SAFETY: the only user; the other thread waits.
        shared.1.with_mut(|value| unsafe { *value = 1 });
        on_cpu(1);
        drop(guards.take_one());
        // SAFETY: as above, still protected.
        shared.1.with_mut(|value| unsafe { *value = 2 });
        drop(guards);
    });
    assert_eq!(shared.0.wait(&Sleep), WaitOutcome::Drained);
    // SAFETY: drained.
    let seen = shared.1.with(|value| unsafe { *value });
    assert!(seen == 0 || seen == 2, "waited for a part of a portion");
    user.join().unwrap();
}

/// A thread that looks twice sees the life cycle go on, never back.
fn no_state_comes_back<R: Make>() {
    let place = |state| match state {
        State::Open => 0,
        State::Closing => 1,
        State::Draining => 2,
        State::Drained => 3,
        other => panic!("{other}: not reached"),
    };
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    let closer = spawn(&rundown, |rundown| {
        rundown.close();
        release_there(rundown);
    });
    let seen = [rundown.state(), rundown.state()].map(place);
    assert!(seen[0] <= seen[1], "{seen:?}");
    closer.join().unwrap();
    assert_eq!(rundown.state(), State::Drained);
}
