//! Models: no wake-up is lost (S2, S6). A waiter that is not woken sleeps for ever, and loom
//! reports that.
#![cfg(rundown_loom)]

mod models;

use loom::sync::Arc;
use models::{Make, Sleep, models, on_cpu, spawn};
use rundown::{Protected, WaitOutcome};

models!(
    the_last_release_wakes,
    the_closer_wakes_the_other_waiter,
    the_end_of_a_claim_wakes,
    a_late_waiter_is_woken bound: 3,
);

fn the_last_release_wakes<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 7));
    let user = spawn(&object, |object| {
        on_cpu(1);
        drop(object.try_acquire());
    });
    assert_eq!(object.run_down(&Sleep), Ok(7));
    user.join().unwrap();
}

/// Nothing is held: the closer itself drains the object, and the other waiter may have looked before.
fn the_closer_wakes_the_other_waiter<R: Make>() {
    let rundown = Arc::new(R::new());
    let waiter = spawn(&rundown, |rundown| rundown.wait(&Sleep));
    rundown.close();
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Drained);
}

/// The waiter may come while the object is claimed; then it waits for the claim's end.
fn the_end_of_a_claim_wakes<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.close();
    let waiter = spawn(&rundown, |rundown| rundown.wait(&Sleep));
    rundown.reinit().unwrap();
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Drained);
}

/// The waiter may sleep through the end of the generation it waits for, and wake up in the next.
fn a_late_waiter_is_woken<R: Make>() {
    let object = Arc::new(Protected::new(R::new(), 1));
    let other = spawn(&object, |object| object.run_down(&Sleep).is_ok());
    let mut taken = 0;
    if object.run_down(&Sleep).is_ok() {
        taken += 1;
        object.publish(2).unwrap();
    }
    taken += usize::from(other.join().unwrap());
    assert!(taken == 1 || taken == 2);
}
