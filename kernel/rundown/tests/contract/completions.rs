//! A completion that is left with an object (S13): the calls it may make, and where it never runs.

use std::cell::RefCell;
use std::ptr;

use rundown::{CloseThenError, Completion, Rundown, State};

use crate::support::{Make, for_every_variant, wake_ups};

for_every_variant!(
    s13_the_object_is_drained_and_waiters_woken_when_it_runs,
    s13_it_may_leave_the_next_one,
    s13_none_at_all_is_refused,
    s13_an_object_that_goes_before_never_runs_it,
);

thread_local! {
    /// The work it does when it runs on this thread.
    static RUNS: RefCell<Vec<Box<dyn FnOnce()>>> = const { RefCell::new(Vec::new()) };
}

fn leave<R: Make + ?Sized>(rundown: &Rundown<R>, run: impl FnOnce() + 'static) {
    static COMPLETION: Completion = Completion::of(|| {
        let run = RUNS.with_borrow_mut(Vec::pop);
        run.expect("once too often")();
    });
    RUNS.with_borrow_mut(|runs| runs.push(Box::new(run)));
    assert_eq!(rundown.close_then(&COMPLETION), Ok(()));
}

fn all_have_run() -> bool {
    RUNS.with_borrow(Vec::is_empty)
}

/// An object that a completion may look at.
fn shared<R: Make + ?Sized>() -> &'static Rundown<R> {
    Box::leak(R::make())
}

/// The completion may do with the object what it likes.
fn s13_the_object_is_drained_and_waiters_woken_when_it_runs<R: Make + ?Sized>() {
    let rundown = shared::<R>();
    let guard = rundown.try_acquire();
    leave(rundown, || {
        assert_eq!((rundown.state(), rundown.racy_held()), (State::Drained, 0));
        rundown.reinit().expect("drained");
    });
    let woken = wake_ups(|| drop(guard));
    assert!(all_have_run() && rundown.state() == State::Open);
    // Those that wait for the drain, and those for the claim.
    assert_eq!(woken, [rundown.id(), rundown.id()]);
}

fn s13_it_may_leave_the_next_one<R: Make + ?Sized>() {
    let rundown = shared::<R>();
    let guard = rundown.try_acquire();
    leave(rundown, || {
        rundown.reinit().expect("drained");
        let guard = rundown.try_acquire();
        leave(rundown, || {});
        drop(guard);
    });
    drop(guard);
    assert!(all_have_run() && rundown.state() == State::Drained);
}

fn s13_none_at_all_is_refused<R: Make + ?Sized>() {
    let rundown = R::make();
    // SAFETY: it fails.
    let refused = unsafe { rundown.close_then_unchecked(ptr::null()) };
    assert_eq!(refused, Err(CloseThenError::Occupied));
    assert_eq!(rundown.state(), State::Open);
}

fn s13_an_object_that_goes_before_never_runs_it<R: Make + ?Sized>() {
    let rundown = R::make();
    std::mem::forget(rundown.try_acquire());
    leave(&*rundown, || panic!("it has run"));
    drop(rundown);
}
