//! Models: acquire against close (S1, S2), the last release (S3), release on another CPU (S4), in a
//! handler (S5), with wrong hints (S11).
#![cfg(rundown_loom)]

mod models;

use loom::sync::Arc;
use loom::thread;
use models::{Make, Sleep, models, on_cpu, spawn};
use rundown::{Protected, Spin, State, WaitOutcome};

models!(
    acquire_against_run_down,
    a_refusal_is_final,
    release_on_another_cpu,
    two_waiters_see_what_was_done bound: 3,
    two_users_against_run_down bound: 3,
    s3_the_memory_may_serve_another_object,
    s5_a_handler_on_top_of_a_holder,
    s11_wrong_hints per_cpu: 6,
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
    assert_eq!(object.run_down(&Spin), Ok(7));
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
    let shared = Arc::new((R::new(), loom::cell::UnsafeCell::new(0)));
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

fn two_users_against_run_down<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 7));
    let users: Vec<_> = (0..2)
        .map(|cpu| {
            spawn(&object, move |object| {
                on_cpu(cpu);
                if let Some(guard) = object.try_acquire() {
                    on_cpu(1 - cpu);
                    assert_eq!(*guard, 7);
                }
            })
        })
        .collect();
    assert_eq!(object.run_down(&Spin), Ok(7));
    for user in users {
        user.join().unwrap();
    }
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

/// A handler takes and releases protection on top of the code that holds it, on the same CPU.
fn s5_a_handler_on_top_of_a_holder<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 7));
    let user = spawn(&object, |object| {
        on_cpu(1);
        let Some(outer) = object.try_acquire() else {
            return;
        };
        if let Some(inner) = object.try_acquire() {
            assert_eq!(*inner, 7);
        }
        assert_eq!(*outer, 7);
    });
    assert_eq!(object.run_down(&Spin), Ok(7));
    user.join().unwrap();
}

fn s11_wrong_hints<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 7));
    let user = spawn(&object, |object| {
        on_cpu(7);
        if let Some(guard) = object.try_acquire() {
            on_cpu(usize::MAX - 1);
            assert_eq!(*guard, 7);
        }
    });
    on_cpu(usize::MAX);
    drop(object.try_acquire());
    assert_eq!(object.run_down(&Spin), Ok(7));
    user.join().unwrap();
}
