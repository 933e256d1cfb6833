//! A waiter that looks away for many cancels learns of them (S10): the state word tells apart 2^12 of one
//! generation in the plain variant, 2^22 in the others.
#![cfg(not(rundown_loom))]

mod support;

use rundown::{Drain, WaitOutcome};
use support::{Make, for_every_variant};

for_every_variant!(
    s10_a_waiter_that_looks_now_and_then,
    s10_a_waiter_that_looks_away_for_long,
    s10_a_cancel_count_does_not_reach_the_generation,
);

const CANCELS: usize = 5000;

/// Begins a wait every so many cancels, and looks again just before the next one begins.
fn looks_every<R: Make + ?Sized>(cancels: usize) {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let mut waiting: Option<Drain<'_, R>> = None;
    for cancel in 0..CANCELS {
        rundown.close();
        if cancel % cancels == 0 {
            if let Some(mut drain) = waiting.replace(rundown.drain()) {
                assert_eq!(drain.poll(), Some(WaitOutcome::Cancelled), "{cancel}");
            }
        }
        rundown.cancel().expect("draining");
    }
    rundown.close();
    assert_eq!(rundown.racy_held(), 1);
    let mut last = waiting.expect("begun");
    assert_eq!(last.poll(), Some(WaitOutcome::Cancelled));
    drop(guard);
    assert!(rundown.is_drained());
}

/// 64 were what the plain variant could tell apart once.
fn s10_a_waiter_that_looks_now_and_then<R: Make + ?Sized>() {
    for cancels in [1, 63, 64, 128] {
        looks_every::<R>(cancels);
    }
}

fn s10_a_waiter_that_looks_away_for_long<R: Make + ?Sized>() {
    for cancels in [1000, 4095] {
        looks_every::<R>(cancels);
    }
}

/// A wait for this generation is not over because the count has wrapped.
fn s10_a_cancel_count_does_not_reach_the_generation<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    for _ in 0..CANCELS {
        rundown.close();
        rundown.cancel().expect("draining");
    }
    let mut drain = rundown.drain();
    assert_eq!(drain.poll(), None);
    drop(guard);
    assert_eq!(drain.poll(), Some(WaitOutcome::Drained));
}
