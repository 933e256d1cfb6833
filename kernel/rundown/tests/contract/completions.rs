//! A completion that is left with an object (S13): what it may do when it runs, and where it never does.

use std::ptr;

use rundown::{CloseThenError, Rundown, State};

use crate::support::{Counted, Make, for_every_variant, wake_ups};

for_every_variant!(
    s13_the_object_is_drained_and_waiters_woken_when_it_runs,
    s13_it_may_leave_the_next_one,
    s13_none_at_all_is_refused,
    s13_an_object_that_goes_before_never_runs_it,
);

/// An object that a completion may look at.
fn shared<R: Make + ?Sized>() -> &'static Rundown<R> {
    Box::leak(R::make())
}

/// The completion may do with the object what it likes.
fn s13_the_object_is_drained_and_waiters_woken_when_it_runs<R: Make + ?Sized>() {
    let rundown = shared::<R>();
    let counted = Counted::and(|| {
        assert_eq!((rundown.state(), rundown.racy_held()), (State::Drained, 0));
        rundown.reinit().expect("drained");
    });
    let guard = rundown.try_acquire();
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    let woken = wake_ups(|| drop(guard));
    assert_eq!((counted.runs(), rundown.state()), (1, State::Open));
    // Those that wait for the drain, and those for the claim.
    assert_eq!(woken, [rundown.id(), rundown.id()]);
}

fn s13_it_may_leave_the_next_one<R: Make + ?Sized>() {
    let rundown = shared::<R>();
    let inner = Counted::new();
    let outer = Counted::and(|| {
        rundown.reinit().expect("drained");
        let guard = rundown.try_acquire();
        assert_eq!(rundown.close_then(&inner.completion), Ok(()));
        drop(guard);
    });
    let guard = rundown.try_acquire();
    assert_eq!(rundown.close_then(&outer.completion), Ok(()));
    drop(guard);
    assert_eq!((outer.runs(), inner.runs()), (1, 1));
    assert_eq!(rundown.state(), State::Drained);
}

fn s13_none_at_all_is_refused<R: Make + ?Sized>() {
    let rundown = R::make();
    // SAFETY: it fails.
    let refused = unsafe { rundown.close_then_unchecked(ptr::null()) };
    assert_eq!(refused, Err(CloseThenError::Occupied));
    assert_eq!(rundown.state(), State::Open);
}

fn s13_an_object_that_goes_before_never_runs_it<R: Make + ?Sized>() {
    let counted = Counted::new();
    let rundown = R::make();
    std::mem::forget(rundown.try_acquire());
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    drop(rundown);
    assert_eq!(counted.runs(), 0);
}
