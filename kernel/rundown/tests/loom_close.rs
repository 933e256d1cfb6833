//! Models: acquire against close (S1, S2), the last release (S3), release on another CPU (S4), of
//! several at once (S7), and while the slots are drained.
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use models::{Make, Sleep, models, on_cpu, spawn};
use rundown::{Protected, Refused, Spin, State, WaitOutcome};

models!(
    acquire_against_run_down,
    a_refusal_is_final,
    release_on_another_cpu,
    two_waiters_see_what_was_done bound: 3,
    s3_the_memory_may_serve_another_object,
    s7_many_against_close,
    s7_portions_against_a_waiter,
    s7_split_guards_on_two_cpus bound: 4,
    an_early_release_does_not_drain,
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
        // SAFETY: acquired above.
        unsafe { shared.0.release() };
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
        on_cpu(1);
        // SAFETY: it is held, so alive until the release has let the waiter go.
        let object = unsafe { &*address.0 };
        // SAFETY: acquired above.
        unsafe { object.release() };
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
    // SAFETY: acquired above.
    unsafe { other.release() };
    assert_eq!(other.state(), State::Drained);
    // SAFETY: from a box, and nothing uses it any more.
    drop(unsafe { Box::from_raw(object) });
}

/// All or none: a waiter never sees a part of a portion.
fn s7_many_against_close<R: Make>() {
    let rundown = Arc::new(R::new());
    let user = spawn(&rundown, |rundown| {
        on_cpu(1);
        let granted = rundown.acquire_many(3);
        assert_ne!(granted, Err(Refused::Full));
        granted.is_ok()
    });
    rundown.close();
    let held = if user.join().unwrap() { 3 } else { 0 };
    assert_eq!(rundown.racy_held(), held);
    assert_eq!(rundown.is_drained(), held == 0);
    if held > 0 {
        // SAFETY: three were acquired.
        unsafe { rundown.release_many(2) };
        assert!(!rundown.is_drained());
        // SAFETY: the last of the three.
        unsafe { rundown.release() };
        assert!(rundown.is_drained());
    }
}

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

/// One thread takes, others release their share: the wait outlasts each of them.
fn s7_split_guards_on_two_cpus<R: Make>() {
    let shared = Arc::new((R::new(), [UnsafeCell::new(0), UnsafeCell::new(0)]));
    shared.0.acquire_many(2).unwrap();
    let users: Vec<_> = (0..2)
        .map(|cpu| {
            spawn(&shared, move |shared| {
                on_cpu(cpu);
                // SAFETY: each user has a cell of its own.
                shared.1[cpu].with_mut(|value| unsafe { *value = 1 });
                // SAFETY: one of the two acquired above.
                unsafe { shared.0.release() };
            })
        })
        .collect();
    assert_eq!(shared.0.wait(&Sleep), WaitOutcome::Drained);
    for cell in &shared.1 {
        // SAFETY: drained.
        cell.with(|value| assert_eq!(unsafe { *value }, 1));
    }
    for user in users {
        user.join().unwrap();
    }
}

/// Two are held. One is released on a slot that the closer may have passed, before the closer knows
/// how many there are.
fn an_early_release_does_not_drain<R: Make>() {
    let rundown = Arc::new(R::new());
    on_cpu(1);
    rundown.acquire_many(2).unwrap();
    let closer = spawn(&rundown, |rundown| rundown.close());
    on_cpu(0);
    // SAFETY: one of the two acquired above.
    unsafe { rundown.release() };
    assert!(!rundown.is_drained(), "the other one is held");
    closer.join().unwrap();
    assert_eq!(rundown.state(), State::Draining);
    // SAFETY: the other one.
    unsafe { rundown.release() };
    assert_eq!(rundown.state(), State::Drained);
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
        on_cpu(1);
        // SAFETY: acquired above.
        unsafe { rundown.release() };
    });
    let seen = [rundown.state(), rundown.state()].map(place);
    assert!(seen[0] <= seen[1], "{seen:?}");
    closer.join().unwrap();
    assert_eq!(rundown.state(), State::Drained);
}
