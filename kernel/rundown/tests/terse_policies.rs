//! Wait policies that ask no more often than they must: whatever an answer depends on, it is right at that
//! look.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;

use rundown::{Protected, RunDownError, Spin, State, Wait, Waiting};
use support::{Make, for_every_sized_variant};

for_every_sized_variant!(
    the_first_look_after_the_deadline_ends_the_wait,
    a_cancelled_run_down_leaves_a_later_drain_alone,
);

/// Looks once, when it must be over.
struct OneLook;

impl Wait for OneLook {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        assert!(ready(), "not over although the deadline has passed");
    }
}

fn the_first_look_after_the_deadline_ends_the_wait<R: Make>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    // Nanoseconds since the platform's clock was first asked.
    let past = 0;
    let outstanding = rundown.wait_deadline(&OneLook, past).expect_err("held");
    assert_eq!((outstanding.held, outstanding.state), (1, State::Draining));
    drop(guard);
}

/// Looks when the object is closed again, and returns when it has drained: by then it is too late.
struct Slow<A, B>(Cell<Option<(A, B)>>);

impl<A: FnOnce(), B: FnOnce()> Wait for Slow<A, B> {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        let (before, after) = self.0.take().expect("one wait");
        assert!(!ready());
        before();
        assert!(ready());
        after();
    }
}

fn a_cancelled_run_down_leaves_a_later_drain_alone<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let guard = object.try_acquire().expect("open");
    let slow = Slow(Cell::new(Some((
        || {
            object.cancel().expect("draining");
            object.close();
            assert_eq!(object.state(), State::Draining);
        },
        || {
            drop(guard);
            assert_eq!(object.state(), State::Drained);
        },
    ))));
    assert_eq!(object.run_down(&slow), Err(RunDownError::Cancelled));
    assert_eq!(object.run_down(&Spin), Ok(7), "the other drain's value");
}
