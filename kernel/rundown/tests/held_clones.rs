//! Holders that take more (S12): in any state of the object, and the drain waits for it.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rundown::{Park, Refused, Rundown, State, WaitOutcome};
use support::{Make, Plain, Random, for_every_variant, misuses, panic_of, wake_ups};

for_every_variant!(
    s12_a_clone_of_an_open_object,
    s12_a_clone_while_draining,
    s12_a_clone_outlives_its_original,
    s12_a_clone_after_a_cancel,
    s12_clones_of_many,
    s12_a_clone_of_none_is_none,
    s12_raw_protection_taken_by_a_holder,
    s12_late_releases_on_every_cpu,
    s12_clones_that_come_and_go_wear_out_nothing,
    s12_a_clone_wakes_nothing,
    s12_the_next_generation_counts_from_zero,
    s12_clones_against_close_and_drain,
);

fn s12_a_clone_of_an_open_object<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let first = rundown.try_acquire().expect("open");
    R::on_cpu(1);
    let second = first.clone();
    assert_eq!(rundown.racy_held(), 2);
    rundown.close();
    drop(first);
    assert_eq!((rundown.state(), rundown.racy_held()), (State::Draining, 1));
    drop(second);
    assert_eq!(rundown.state(), State::Drained);
}

fn s12_a_clone_while_draining<R: Make + ?Sized>() {
    for cpu in 0..R::slots().min(4) {
        let rundown = R::make();
        R::on_cpu(0);
        let first = rundown.try_acquire().expect("open");
        rundown.close();
        R::on_cpu(cpu);
        let second = first.try_clone().expect("there is room");
        assert!(rundown.try_acquire().is_none(), "only holders take more");
        assert_eq!(rundown.racy_held(), 2);
        R::on_cpu(cpu + 1);
        drop(second);
        assert_eq!(rundown.state(), State::Draining, "one is still held");
        drop(first);
        assert_eq!(rundown.state(), State::Drained);
    }
}

fn s12_a_clone_outlives_its_original<R: Make + ?Sized>() {
    let rundown = R::make();
    let mut held = rundown.try_acquire().expect("open");
    let mut drain = rundown.drain();
    for cpu in 0..50 {
        R::on_cpu(cpu);
        let next = held.clone();
        drop(std::mem::replace(&mut held, next));
        assert_eq!((drain.poll(), rundown.racy_held()), (None, 1));
    }
    drop(held);
    assert_eq!(drain.poll(), Some(WaitOutcome::Drained));
}

fn s12_a_clone_after_a_cancel<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let first = rundown.try_acquire().expect("open");
    rundown.close();
    let late = first.clone();
    rundown.cancel().expect("draining");
    R::on_cpu(1);
    let open_again = first.clone();
    assert_eq!(rundown.racy_held(), 3);
    // In the slots and on the shared count in turn, and all of it is known to the next drain.
    rundown.close();
    R::on_cpu(2);
    let late_again = late.clone();
    for (left, guard) in [(3, first), (2, late), (1, open_again)] {
        drop(guard);
        assert_eq!(
            (rundown.state(), rundown.racy_held()),
            (State::Draining, left)
        );
    }
    drop(late_again);
    assert_eq!(rundown.state(), State::Drained);
}

fn s12_clones_of_many<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let three = rundown.try_acquire_many(3).expect("open");
    let mut six = three.clone();
    assert_eq!((six.count(), rundown.racy_held()), (3, 6));
    rundown.close();
    R::on_cpu(1);
    six.merge(three.try_clone().expect("there is room"))
        .expect("of the same object");
    assert_eq!((six.count(), rundown.racy_held()), (6, 9));
    drop(three);
    R::on_cpu(2);
    drop(six.split_off(4));
    assert_eq!(rundown.racy_held(), 2);
    let one = six.take_one().expect("two are left").clone();
    // The one that was taken out is dropped, its clone is not.
    assert_eq!(rundown.racy_held(), 2);
    drop(six);
    assert!(!rundown.is_drained());
    drop(one);
    assert_eq!(rundown.state(), State::Drained);
}

/// Guards that hold nothing keep nothing from draining, and so take nothing from a drained object.
fn s12_a_clone_of_none_is_none<R: Make + ?Sized>() {
    let rundown = R::make();
    let none = rundown.try_acquire_many(0).expect("open");
    rundown.close();
    assert_eq!(rundown.state(), State::Drained);
    let clone = none.try_clone().expect("nothing to count");
    assert_eq!(clone.count(), 0);
    drop((none, clone));
    assert_eq!((rundown.state(), rundown.racy_held()), (State::Drained, 0));
}

fn s12_raw_protection_taken_by_a_holder<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    rundown.acquire().expect("open");
    // SAFETY: one is held.
    assert_eq!(unsafe { rundown.acquire_held() }, Ok(()));
    rundown.close();
    // SAFETY: two are held.
    assert_eq!(unsafe { rundown.acquire_held_many(5) }, Ok(()));
    // SAFETY: seven are held.
    assert_eq!(unsafe { rundown.acquire_held_many(0) }, Ok(()));
    assert_eq!(rundown.racy_held(), 7);
    R::on_cpu(1);
    // SAFETY: seven are held.
    unsafe { rundown.release_many(6) };
    assert_eq!(rundown.state(), State::Draining);
    // SAFETY: one is held.
    unsafe { rundown.release() };
    assert_eq!(rundown.state(), State::Drained);
}

fn s12_late_releases_on_every_cpu<R: Make + ?Sized>() {
    let cpus = R::slots().min(8);
    let rundown = R::make();
    R::on_cpu(0);
    let first = rundown.try_acquire().expect("open");
    rundown.close();
    let clones: Vec<_> = (0..cpus)
        .map(|cpu| {
            R::on_cpu(cpu);
            first.clone()
        })
        .collect();
    drop(first);
    for (cpu, clone) in clones.into_iter().enumerate() {
        assert_eq!(rundown.racy_held(), (cpus - cpu) as i64);
        assert_eq!(rundown.state(), State::Draining);
        R::on_cpu(cpu + 1);
        drop(clone);
    }
    assert_eq!(rundown.state(), State::Drained);
}

/// A drain may last, and clones come on one CPU and go on another all the while, many at a time: if that
/// moved what is in a closed slot, 2^30 of them would reach its marks.
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
    assert_eq!(rundown.state(), State::Drained);
}

fn s12_a_clone_wakes_nothing<R: Make + ?Sized>() {
    let rundown = R::make();
    let first = rundown.try_acquire().expect("open");
    rundown.close();
    let woken = wake_ups(|| drop(first.clone()));
    assert_eq!(woken, []);
    let woken = wake_ups(|| drop(first));
    assert_eq!(woken, [rundown.id()]);
}

fn s12_the_next_generation_counts_from_zero<R: Make + ?Sized>() {
    let rundown = R::make();
    for cpu in 0..3 {
        R::on_cpu(cpu);
        let first = rundown.try_acquire().expect("open");
        let open = first.clone();
        rundown.close();
        let late = first.clone();
        R::on_cpu(cpu + 1);
        drop((first, open, late));
        assert_eq!(rundown.state(), State::Drained);
        assert_eq!(misuses(|| _ = rundown.reinit().expect("drained")), []);
        assert_eq!(rundown.racy_held(), 0);
    }
}

/// Users hand what they hold from clone to clone while the object closes: it drains with the last one, and
/// not before.
fn s12_clones_against_close_and_drain<R: Make + ?Sized>() {
    const USERS: usize = 2;
    for round in 0..100 {
        let rundown = R::make();
        let held = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for user in 0..USERS {
                let (rundown, held, stop) = (&rundown, &held, &stop);
                // Acquired here: each user is to have one.
                let mut guard = rundown.try_acquire().expect("open");
                held.fetch_add(1, Ordering::Relaxed);
                scope.spawn(move || {
                    let mut random = Random::new((round * USERS + user) as u64);
                    // At least so often: across the close, whenever it comes.
                    for _ in 0..20 + random.below(50) {
                        R::wander(&mut random);
                        let next = guard.clone();
                        R::wander(&mut random);
                        guard = next;
                    }
                    while !stop.load(Ordering::Relaxed) {
                        guard = guard.clone();
                    }
                    held.fetch_sub(1, Ordering::Relaxed);
                    drop(guard);
                });
            }
            rundown.close();
            assert!(!rundown.is_drained(), "users hold it");
            stop.store(true, Ordering::Relaxed);
            assert_eq!(rundown.wait(&Park), WaitOutcome::Drained);
            assert_eq!(held.load(Ordering::Relaxed), 0, "drained while in use");
        });
        assert_eq!((rundown.state(), rundown.racy_held()), (State::Drained, 0));
    }
}

#[test]
fn s12_a_full_plain_object_refuses() {
    let rundown = Rundown::<Plain>::new();
    let capacity = u32::try_from(Rundown::<Plain>::CAPACITY).expect("less than 2^32");
    let mut many = rundown
        .try_acquire_many(capacity - 1)
        .expect("exactly as many");
    for draining in [false, true] {
        if draining {
            rundown.close();
        }
        let before = (rundown.state(), rundown.racy_held());
        let refused = many.try_clone().map(drop);
        assert_eq!(refused, Err(Refused::Full));
        let text = panic_of(|| drop(many.clone()));
        assert_eq!(
            text,
            "a guard was not cloned: the object cannot count so many protections"
        );
        // SAFETY: many are held.
        let refused = unsafe { rundown.acquire_held_many(2) };
        assert_eq!(refused, Err(Refused::Full));
        assert_eq!((rundown.state(), rundown.racy_held()), before);
        let one = many.take_one().expect("many");
        let last = one.try_clone().expect("there is room for one");
        assert_eq!(one.try_clone().map(drop), Err(Refused::Full));
        let text = panic_of(|| drop(one.clone()));
        assert!(text.starts_with("a guard was not cloned"), "{text}");
        assert_eq!(rundown.racy_held(), i64::from(capacity));
        drop(last);
        // Back to where it was.
        std::mem::forget(one);
        assert_eq!((rundown.state(), rundown.racy_held()), before);
    }
    drop(many);
    assert_eq!(rundown.racy_held(), 2, "the two that were forgotten");
    // SAFETY: the two that were forgotten.
    unsafe { rundown.release_many(2) };
    assert_eq!(rundown.state(), State::Drained);
}
