//! Models: releases while the slots are drained (S2), seen by others than the closer.
#![cfg(rundown_loom)]

mod models;

use loom::sync::Arc;
use models::{Make, models, on_cpu, spawn};
use rundown::State;

models!(an_early_release_does_not_drain, no_state_comes_back);

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
