//! Counts (S7), beyond what the model knows of them: by slot, of two objects, over very many calls.

use rundown::{Drain, WaitOutcome};

use crate::support::{Make, for_every_variant, panic_of};

for_every_variant!(
    racy_counts_are_those_of_each_slot,
    s7_guards_of_two_objects_do_not_merge,
    s7_more_than_there_are_cannot_be_split_off,
    s10_a_waiter_that_looks_now_and_then,
    s12_clones_that_come_and_go_wear_out_nothing,
);

/// Exact when nothing is counted meanwhile.
fn racy_counts_are_those_of_each_slot<R: Make + ?Sized>() {
    let rundown = R::make();
    let counts_are = |counts: &[(usize, i64)]| {
        let mut expected = vec![0; R::slots()];
        for &(cpu, count) in counts {
            expected[R::slot_of(cpu)] += count;
        }
        assert_eq!(rundown.racy_counts().collect::<Vec<_>>(), expected);
    };
    counts_are(&[]);
    R::on_cpu(0);
    let mut guards = rundown.try_acquire_many(5).expect("open");
    R::on_cpu(1);
    drop(guards.split_off(2));
    R::on_cpu(6);
    let one = rundown.try_acquire();
    counts_are(&[(0, 5), (1, -2), (6, 1)]);
    rundown.close();
    R::on_cpu(1);
    drop((one, guards.take_one()));
    let late = if R::COUNTS_GO_ON { -2 } else { 0 };
    counts_are(&[(0, 5), (1, -2 + late), (6, 1)]);
    assert_eq!(rundown.racy_held(), 2);
    drop(guards);
    rundown.reinit().expect("drained");
    counts_are(&[]);
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

fn s7_more_than_there_are_cannot_be_split_off<R: Make + ?Sized>() {
    let rundown = R::make();
    let mut guards = rundown.try_acquire_many(2).expect("open");
    let text = panic_of(|| drop(guards.split_off(3)));
    assert_eq!(text, "cannot split 3 off 2 protections");
    assert_eq!((guards.count(), rundown.racy_held()), (2, 2));
}

/// The state word tells apart 2^12 cancels of one generation in the plain variant, 2^22 in the
/// others; a count that wraps does not reach the generation.
fn s10_a_waiter_that_looks_now_and_then<R: Make + ?Sized>() {
    for looks_every in [1, 63, 64, 1000, 4095] {
        let rundown = R::make();
        let guard = rundown.try_acquire();
        let mut waiting: Option<Drain<'_, R>> = None;
        for cancel in 0..5000 {
            rundown.close();
            if cancel % looks_every == 0 {
                // Just before the next one begins.
                if let Some(mut drain) = waiting.replace(rundown.drain()) {
                    assert_eq!(drain.poll(), Some(WaitOutcome::Cancelled), "{cancel}");
                }
            }
            rundown.cancel().expect("draining");
        }
        let mut last = rundown.drain();
        assert_eq!((last.poll(), rundown.racy_held()), (None, 1));
        let ended = waiting.and_then(|mut drain| drain.poll());
        assert_eq!(ended, Some(WaitOutcome::Cancelled));
        drop(guard);
        assert_eq!(last.poll(), Some(WaitOutcome::Drained));
    }
}

/// A drain may last, and clones come on one CPU and go on another all the while, many at a time: if
/// that moved what is in a closed slot, 2^30 of them would reach its marks.
fn s12_clones_that_come_and_go_wear_out_nothing<R: Make + ?Sized>() {
    let most = if R::PLAIN { 1 << 20 } else { u32::MAX };
    let rundown = R::make();
    R::on_cpu(0);
    let held = rundown.try_acquire_many(most).expect("open");
    rundown.close();
    let counts: Vec<i64> = rundown.racy_counts().collect();
    for _ in 0..100 {
        R::on_cpu(0);
        let more = held.clone();
        R::on_cpu(1);
        drop(more);
    }
    assert_eq!(rundown.racy_counts().collect::<Vec<_>>(), counts);
    drop(held);
    assert!(rundown.is_drained());
}
