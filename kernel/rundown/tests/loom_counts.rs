//! Models: several protections at once (S7), and objects that are born closed (S9).
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use models::{Make, Sleep, models, on_cpu, spawn};
use rundown::{Protected, Refused, State, WaitOutcome};

models!(
    s7_many_against_close,
    s7_portions_against_a_waiter,
    s7_split_guards_on_two_cpus bound: 4,
    s7_a_refused_portion_leaves_no_trace,
    s9_open_against_acquire,
    s9_of_two_openers_one_succeeds,
    s9_publish_against_acquire,
);

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

fn s7_a_refused_portion_leaves_no_trace<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    let user = spawn(&rundown, |rundown| {
        on_cpu(1);
        drop(rundown.try_acquire_many(5));
    });
    rundown.close();
    // SAFETY: acquired above.
    unsafe { rundown.release() };
    user.join().unwrap();
    assert_eq!(rundown.state(), State::Drained);
    rundown.reinit().unwrap();
    assert_eq!(rundown.racy_held(), 0);
    rundown.close();
    assert_eq!(rundown.state(), State::Drained);
}

/// What the owner prepared before it opened is visible under the first protection.
fn s9_open_against_acquire<R: Make>() {
    let shared = Arc::new((R::closed(), UnsafeCell::new(0)));
    let user = spawn(&shared, |shared| {
        on_cpu(1);
        if let Some(_guard) = shared.0.try_acquire() {
            // SAFETY: open, so the owner has written.
            shared.1.with(|value| assert_eq!(unsafe { *value }, 1));
        }
    });
    // SAFETY: nothing has access before it opens.
    shared.1.with_mut(|value| unsafe { *value = 1 });
    shared.0.open().unwrap();
    assert!(shared.0.try_acquire().is_some());
    assert_eq!(shared.0.wait(&Sleep), WaitOutcome::Drained);
    user.join().unwrap();
}

fn s9_of_two_openers_one_succeeds<R: Make>() {
    let rundown = Arc::new(R::closed());
    let other = spawn(&rundown, |rundown| rundown.open());
    let both = [rundown.open(), other.join().unwrap()];
    assert_eq!(both.iter().filter(|one| one.is_ok()).count(), 1);
    assert!(rundown.try_acquire().is_some());
}

fn s9_publish_against_acquire<R: Make>() {
    let object = Arc::new(Protected::vacant(R::closed()));
    let user = spawn(&object, |object| {
        on_cpu(1);
        if let Some(guard) = object.try_acquire() {
            assert_eq!(*guard, 7);
        }
    });
    object.publish(7).unwrap();
    assert_eq!(object.run_down(&Sleep), Ok(7));
    user.join().unwrap();
}
