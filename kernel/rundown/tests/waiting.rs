//! The calls of waits to their policies, and the deadlines that end them.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::time::Duration;

use rundown::{
    Clock, HostPlatform, Park, PlainRundown, Protected, RunDownError, Spin, State, Wait,
    WaitOutcome,
};
use support::wayward::{NOW, Wayward};
use support::{Make, TestPlatform, for_every_sized_variant, policy};

for_every_sized_variant!(
    a_missed_deadline_says_what_is_outstanding,
    an_impatient_policy_does_not_end_the_wait,
    the_policy_learns_object_and_deadline,
    a_cancelled_run_down_leaves_a_later_drain_alone,
);

fn a_missed_deadline_says_what_is_outstanding<R: Make>() {
    let rundown = R::make();
    let guards = rundown.try_acquire_many(2).expect("open");
    let mut drain = rundown.drain();
    for policy in [&Spin as &dyn Wait, &Park] {
        let deadline = HostPlatform::after(Duration::from_millis(3));
        // The same wait, again.
        let outstanding = drain.wait_deadline(policy, deadline).expect_err("held");
        assert!(TestPlatform::now() >= deadline, "gave up early");
        assert_eq!(outstanding, drain.outstanding());
        assert_eq!(outstanding.object, rundown.id());
        assert_eq!((outstanding.state, outstanding.held), (State::Draining, 2));
    }
    drop(guards);
    assert_eq!(drain.wait_deadline(&Park, 0), Ok(WaitOutcome::Drained));
}

/// It breaks its contract: it returns early, and sometimes does not even ask.
fn an_impatient_policy_does_not_end_the_wait<R: Make>() {
    let rundown = R::make();
    let mut guard = rundown.try_acquire();
    let deadline = HostPlatform::after(Duration::from_millis(2));
    let mut calls = 0;
    let impatient = policy(|_, ready| {
        calls += 1;
        if calls % 2 == 0 {
            ready();
        }
    });
    let outstanding = rundown.wait_deadline(&impatient, deadline).expect_err("one is held");
    assert!(TestPlatform::now() >= deadline, "gave up early");
    assert_eq!(outstanding.held, 1);
    let mut calls = 0;
    let impatient = policy(|_, ready| {
        calls += 1;
        if calls == 5 {
            drop(guard.take());
        } else if calls % 2 == 0 {
            ready();
        }
    });
    assert_eq!(rundown.wait(&impatient), WaitOutcome::Drained);
    assert_eq!(calls, 5, "S2 rests on the policy");
}

fn the_policy_learns_object_and_deadline<R: Make>() {
    let rundown = R::make();
    let mut guard = rundown.try_acquire();
    let heard = Cell::new(None);
    let listener = policy(|waiting, ready| {
        heard.set(Some((waiting.object, waiting.deadline)));
        if !ready() {
            assert_eq!(waiting.deadline, None, "not over although the deadline has passed");
            drop(guard.take());
        }
    });
    // Nanoseconds since the platform's clock was first asked: they are over.
    while HostPlatform::now() < 42 {}
    assert!(rundown.wait_deadline(&listener, 42).is_err());
    assert_eq!(heard.take(), Some((rundown.id(), Some(42))));
    assert_eq!(rundown.wait(&listener), WaitOutcome::Drained);
    assert_eq!(heard.take(), Some((rundown.id(), None)));
    assert_eq!(rundown.wait(&listener), WaitOutcome::Drained);
    assert_eq!(rundown.wait_deadline(&listener, 0), Ok(WaitOutcome::Drained));
    assert_eq!(heard.take(), None, "there was nothing to wait for");
}

fn a_cancelled_run_down_leaves_a_later_drain_alone<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let mut guard = object.try_acquire();
    // It asks when the object is closed again, and returns when that has drained: too late.
    let slow = policy(|_, ready| {
        assert!(!ready());
        object.cancel().expect("draining");
        object.close();
        assert!(ready());
        drop(guard.take());
        assert_eq!(object.state(), State::Drained);
    });
    assert_eq!(object.run_down(&slow), Err(RunDownError::Cancelled));
    assert_eq!(object.run_down(&Spin), Ok(7), "the other drain's value");
}

/// Not one before, and not one after.
#[test]
fn a_deadline_passes_at_its_own_tick() {
    let rundown = PlainRundown::<Wayward>::new();
    rundown.acquire().expect("open");
    for times in [&[0][..], &[1, 7, 8, 9], &[u64::MAX - 1, u64::MAX]] {
        NOW.set(0);
        let deadline = times[times.len() - 1];
        let looks = policy(|_, ready| {
            for &time in times {
                NOW.set(time);
                assert_eq!(ready(), time == deadline, "at {time}");
            }
        });
        let missed = rundown.wait_deadline(&looks, deadline);
        assert_eq!(missed.expect_err("one is held").held, 1);
    }
}
