//! Counts (S7): many at once, capacity, guards that are split and merged, and the figures for people.
#![cfg(not(rundown_loom))]

mod support;

use std::thread;

use rundown::{CloseOutcome, Park, Refused, Rundown, State, WaitOutcome};
use support::{Inline, Make, Plain, for_every_variant, panic_of, wake_ups};

for_every_variant!(
    s7_many_are_granted_all_or_none,
    s7_many_and_single_mix,
    s7_many_are_released_in_other_portions,
    s7_none_protect_nothing,
    s7_the_greatest_portion_is_counted,
    s7_guards_split_and_merge,
    s7_guards_of_two_objects_do_not_merge,
    s7_guards_beyond_their_range_do_not_merge,
    s7_more_than_there_are_cannot_be_split_off,
    s7_many_against_close,
    racy_counts_are_exact_when_quiet,
    racy_counts_go_on_while_draining,
    racy_held_survives_a_cancel,
    racy_held_is_zero_when_run_down,
);

fn s7_many_are_granted_all_or_none<R: Make + ?Sized>() {
    let rundown = R::make();
    let guards = rundown.try_acquire_many(5).expect("open");
    assert_eq!(guards.count(), 5);
    assert_eq!(rundown.racy_held(), 5);
    rundown.close();
    assert!(rundown.try_acquire_many(5).is_none());
    assert_eq!(rundown.acquire_many(5), Err(Refused::Closed));
    assert_eq!(rundown.racy_held(), 5, "a refused portion left a trace");
    drop(guards);
    assert!(rundown.is_drained());
}

fn s7_many_and_single_mix<R: Make + ?Sized>() {
    let rundown = R::make();
    let many = rundown.try_acquire_many(3).expect("open");
    let single = rundown.try_acquire().expect("open");
    rundown.acquire().expect("open");
    rundown.acquire_many(2).expect("open");
    assert_eq!(rundown.racy_held(), 7);
    rundown.close();
    drop(many);
    drop(single);
    assert!(!rundown.is_drained());
    // SAFETY: three were acquired without guards, one and two at once.
    unsafe { rundown.release_many(3) };
    assert!(rundown.is_drained());
}

fn s7_many_are_released_in_other_portions<R: Make + ?Sized>() {
    for close_after in 0..4 {
        let rundown = R::make();
        R::on_cpu(0);
        rundown.acquire_many(4).expect("open");
        rundown.acquire_many(6).expect("open");
        // 1 + 2 + 3 + 4 = 4 + 6.
        for portion in 0..4 {
            if portion == close_after {
                rundown.close();
            }
            assert!(!rundown.is_drained());
            R::on_cpu(portion as usize);
            // SAFETY: ten were acquired, and so many are released here in all.
            unsafe { rundown.release_many(portion + 1) };
        }
        assert_eq!(rundown.state(), State::Drained);
    }
}

fn s7_none_protect_nothing<R: Make + ?Sized>() {
    let rundown = R::make();
    let none = rundown.try_acquire_many(0).expect("open");
    assert_eq!(none.count(), 0);
    rundown.close();
    assert!(rundown.is_drained(), "zero protections hold nothing");
    assert!(rundown.try_acquire_many(0).is_none());
    drop(none);
    assert_eq!(rundown.state(), State::Drained);
}

fn s7_the_greatest_portion_is_counted<R: Make + ?Sized>() {
    let rundown = R::make();
    if R::PLAIN {
        assert_eq!(rundown.acquire_many(u32::MAX), Err(Refused::Full));
        assert_eq!(rundown.racy_held(), 0);
        return;
    }
    let portions = 5;
    for cpu in 0..portions {
        R::on_cpu(cpu);
        rundown.acquire_many(u32::MAX).expect("far from full");
    }
    let held = portions as i64 * i64::from(u32::MAX);
    assert_eq!(rundown.racy_held(), held);
    rundown.close();
    assert_eq!(rundown.racy_held(), held);
    for cpu in 0..portions {
        assert!(!rundown.is_drained());
        R::on_cpu(cpu + 1);
        // SAFETY: acquired above.
        unsafe { rundown.release_many(u32::MAX) };
    }
    assert!(rundown.is_drained());
}

#[test]
fn s7_the_plain_kind_refuses_the_first_beyond_its_capacity() {
    let rundown = Rundown::<Plain>::new();
    let capacity = u32::try_from(Rundown::<Plain>::CAPACITY).expect("less than 2^32");
    rundown.acquire_many(capacity).expect("exactly as many");
    assert_eq!(rundown.racy_held(), i64::from(capacity));
    assert_eq!(rundown.acquire(), Err(Refused::Full));
    assert!(rundown.try_acquire().is_none());
    assert!(rundown.try_acquire_many(1).is_none());
    assert_eq!(rundown.acquire_many(u32::MAX), Err(Refused::Full));
    assert_eq!(rundown.acquire_many(0), Ok(()), "nothing more to count");
    assert_eq!(rundown.racy_held(), i64::from(capacity), "never wrapped");
    assert_eq!(rundown.state(), State::Open);
    // SAFETY: acquired above.
    unsafe { rundown.release() };
    assert_eq!(rundown.acquire_many(2), Err(Refused::Full), "all or none");
    assert_eq!(rundown.acquire(), Ok(()), "there is room for one");
    // Closed comes before full.
    assert_eq!(rundown.close(), CloseOutcome::Closed);
    assert_eq!(rundown.acquire(), Err(Refused::Closed));
    // SAFETY: acquired above.
    unsafe { rundown.release_many(capacity) };
    assert!(rundown.is_drained());
}

fn s7_guards_split_and_merge<R: Make + ?Sized>() {
    let rundown = R::make();
    let mut guards = rundown.try_acquire_many(10).expect("open");
    rundown.close();
    let mut four = guards.split_off(4);
    let none = guards.split_off(0);
    let one = four.take_one().expect("four are there");
    assert_eq!((guards.count(), four.count(), none.count()), (6, 3, 0));
    assert_eq!(rundown.racy_held(), 10, "handing over never touches it");
    drop(one);
    assert_eq!(rundown.racy_held(), 9);
    guards.merge(four).expect("of the same object");
    assert_eq!((guards.count(), rundown.racy_held()), (9, 9));
    let singles: Vec<_> = std::iter::from_fn(|| guards.take_one()).collect();
    assert_eq!((singles.len(), guards.count()), (9, 0));
    drop(guards);
    drop(none);
    assert_eq!(rundown.racy_held(), 9);
    for single in singles {
        assert!(!rundown.is_drained());
        drop(single);
    }
    assert!(rundown.is_drained());
}

fn s7_guards_of_two_objects_do_not_merge<R: Make + ?Sized>() {
    let (left, right) = (R::make(), R::make());
    let mut guards = left.try_acquire_many(2).expect("open");
    let others = right.try_acquire_many(3).expect("open");
    let others = guards.merge(others).expect_err("of another object");
    assert_eq!((guards.count(), others.count()), (2, 3));
    drop(others);
    assert_eq!((left.racy_held(), right.racy_held()), (2, 0));
}

fn s7_guards_beyond_their_range_do_not_merge<R: Make + ?Sized>() {
    if R::PLAIN {
        // Its capacity is below what guards can count.
        const { assert!(Rundown::<Plain>::CAPACITY * 2 < u32::MAX as u64) };
        return;
    }
    let rundown = R::make();
    let mut guards = rundown.try_acquire_many(u32::MAX).expect("open");
    let one = rundown.try_acquire_many(1).expect("open");
    let one = guards.merge(one).expect_err("2^32 do not fit");
    assert_eq!((guards.count(), one.count()), (u32::MAX, 1));
    drop((guards, one));
    assert_eq!(rundown.racy_held(), 0);
}

fn s7_more_than_there_are_cannot_be_split_off<R: Make + ?Sized>() {
    let rundown = R::make();
    let mut guards = rundown.try_acquire_many(2).expect("open");
    let text = panic_of(|| drop(guards.split_off(3)));
    assert_eq!(text, "cannot split 3 off 2 protections");
    assert_eq!((guards.count(), rundown.racy_held()), (2, 2));
}

/// Portions are granted on some CPUs and released one by one on others, while the object closes.
fn s7_many_against_close<R: Make + ?Sized>() {
    for round in 0..100 {
        let rundown = R::make();
        thread::scope(|scope| {
            for cpu in 0..2 {
                let rundown = &rundown;
                scope.spawn(move || {
                    for portion in 1.. {
                        R::on_cpu(cpu + round);
                        let Some(mut guards) = rundown.try_acquire_many(portion % 7 + 1) else {
                            return;
                        };
                        while let Some(_one) = guards.take_one() {
                            R::on_cpu(cpu + guards.count() as usize);
                        }
                    }
                });
            }
            thread::yield_now();
            assert_eq!(rundown.wait(&Park), WaitOutcome::Drained);
            assert_eq!(rundown.racy_held(), 0);
        });
        assert_eq!(rundown.state(), State::Drained);
    }
}

/// What each slot must count, by CPU.
fn per_slot<R: Make + ?Sized>(counts: &[(usize, i64)]) -> Vec<i64> {
    let mut slots = vec![0; R::slots()];
    for &(cpu, count) in counts {
        slots[R::slot_of(cpu)] += count;
    }
    slots
}

fn racy_counts_are_exact_when_quiet<R: Make + ?Sized>() {
    let rundown = R::make();
    assert_eq!(rundown.racy_counts().len(), R::slots());
    assert!(rundown.racy_counts().all(|count| count == 0));
    R::on_cpu(0);
    let mut guards = rundown.try_acquire_many(5).expect("open");
    R::on_cpu(1);
    drop(guards.split_off(2));
    R::on_cpu(6);
    let one = rundown.try_acquire().expect("open");
    let counts: Vec<i64> = rundown.racy_counts().collect();
    assert_eq!(counts, per_slot::<R>(&[(0, 5), (1, -2), (6, 1)]));
    assert_eq!(rundown.racy_held(), 4);
    drop((guards, one));
    assert_eq!(rundown.racy_counts().sum::<i64>(), 0);
    assert_eq!(rundown.racy_held(), 0);
}

fn racy_counts_go_on_while_draining<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let mut guards = rundown.try_acquire_many(5).expect("open");
    rundown.close();
    let counts: Vec<i64> = rundown.racy_counts().collect();
    assert_eq!(counts, per_slot::<R>(&[(0, 5)]));
    R::on_cpu(1);
    for _ in 0..2 {
        drop(guards.take_one());
    }
    let counts: Vec<i64> = rundown.racy_counts().collect();
    let late = if R::COUNTS_GO_ON { -2 } else { 0 };
    assert_eq!(counts, per_slot::<R>(&[(0, 5), (1, late)]));
    assert_eq!(rundown.racy_held(), 3);
    let outstanding = rundown.try_wait().expect_err("three are held");
    assert_eq!(outstanding.object, rundown.id());
    assert_eq!((outstanding.state, outstanding.held), (State::Draining, 3));
    drop(guards);
    assert_eq!(rundown.racy_held(), 0);
}

fn racy_held_survives_a_cancel<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let mut guards = rundown.try_acquire_many(5).expect("open");
    rundown.close();
    R::on_cpu(1);
    drop(guards.take_one());
    rundown.cancel().expect("draining");
    assert_eq!(rundown.racy_held(), 4);
    R::on_cpu(2);
    let more = rundown.try_acquire_many(3).expect("open");
    drop(guards.take_one());
    assert_eq!(rundown.racy_held(), 6);
    rundown.close();
    assert_eq!(rundown.racy_held(), 6);
    drop(guards);
    assert_eq!(rundown.racy_held(), 3);
    drop(more);
    assert_eq!(rundown.racy_held(), 0);
    assert!(rundown.is_drained());
}

fn racy_held_is_zero_when_run_down<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let guard = rundown.try_acquire().expect("open");
    rundown.close();
    R::on_cpu(1);
    drop(guard);
    assert_eq!(rundown.racy_held(), 0);
    rundown.complete().expect("drained");
    assert_eq!(rundown.racy_held(), 0);
    // The next generation counts from zero.
    rundown.reinit().expect("run down");
    assert_eq!(rundown.racy_held(), 0);
    assert!(rundown.racy_counts().all(|count| count == 0));
}

#[test]
fn wake_ups_name_the_object_that_drained() {
    let (drained, other) = (Rundown::<Inline<2>>::new(), Rundown::<Inline<2>>::new());
    drained.acquire().expect("open");
    drained.close();
    let woken = wake_ups(|| {
        // SAFETY: acquired above.
        unsafe { drained.release() };
    });
    assert_eq!(woken, [drained.id()]);
    assert_ne!(drained.id(), other.id());
}
