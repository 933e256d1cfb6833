//! Users and owners of one object on many workers, whatever runs those: threads, or the CPUs of a
//! kernel. No `std`.
//!
//! The module around this one has a `Crew`: `gather` makes one of `workers()` workers, `run` has
//! each do some work at the same time, and `meet` returns when all have called it. `until` returns
//! when something is true that a worker has made so before it called `wake_all`. `wander` moves the
//! worker to another CPU, if it can move. An owner waits by `WAIT`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicIsize, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use rundown::{CloseOutcome, Completion, Rundown, Variant, WaitOutcome};

use super::Crew;

/// S1, S2, S4: each worker takes a portion, one closes, and all are refused. Then each in turn
/// releases as much as its neighbour has taken. No wait ends before the last of them.
pub(crate) fn only_the_last_release_drains<V: Variant>(new: fn() -> Rundown<V>) {
    let (rundown, crew) = (new(), Crew::gather());
    let turn = AtomicUsize::new(0);
    let portion = |worker: usize| (worker % crew.workers()) as u32 % 3 + 1;
    crew.run(&|me| {
        assert!(rundown.acquire_many(portion(me)).is_ok(), "refused although open");
        crew.meet();
        assert!(!rundown.is_drained(), "drained although open");
        crew.meet();
        if me == 0 {
            assert_eq!(rundown.close(), CloseOutcome::Closed);
        }
        crew.meet();
        assert!(rundown.try_acquire().is_none(), "granted although closed");
        crew.until(&mut || turn.load(Ordering::Acquire) == me);
        assert!(!rundown.is_drained(), "drained while this worker has a portion");
        // SAFETY: the neighbour has taken them, before all met.
        unsafe { rundown.release_many(portion(me + 1)) };
        turn.store(me + 1, Ordering::Release);
        crew.wake_all();
        assert_eq!(rundown.wait(&Crew::WAIT), WaitOutcome::Drained);
        assert!(turn.load(Ordering::Acquire) + 1 >= crew.workers(), "the wait ended early");
    });
    assert_eq!(rundown.racy_held(), 0);
}

/// S1, S2, S4, S7, S8: one worker tears the object down again and again. All use it in portions,
/// and leave them in a pocket for whichever worker comes next to release.
pub(crate) fn torn_down_again_and_again<V: Variant>(new: fn() -> Rundown<V>) {
    let (rundown, crew) = (new(), Crew::gather());
    let last = crew.rounds(20);
    // The generation of what is guarded, 0 while there is none; the latest that was opened; and the
    // latest of which a worker knows that it is closed.
    let [alive, opened, closed] = [1, 1, 0].map(AtomicU64::new);
    let pocket = AtomicU32::new(0);
    let empty_pocket = || {
        // Acquire: pairs with the Release in `use_it`.
        let portion = pocket.swap(0, Ordering::Acquire);
        assert!(portion == 0 || alive.load(Ordering::Relaxed) > 0, "torn down while in use");
        // SAFETY: `use_it` has put them there, and they were taken out once.
        unsafe { rundown.release_many(portion) };
    };
    // Whether it was granted.
    let use_it = |n: u32| {
        // Acquire: pairs with the Releases of workers that close, open or are refused.
        let known = closed.load(Ordering::Acquire);
        let latest = opened.load(Ordering::Acquire);
        let Some(mut guards) = rundown.try_acquire_many(n) else {
            closed.fetch_max(latest, Ordering::AcqRel);
            return false;
        };
        let generation = alive.load(Ordering::Relaxed);
        assert!(generation > known, "{generation} is granted, {known} is closed");
        empty_pocket();
        let half = guards.split_off(n / 2);
        pocket.fetch_add(half.count(), Ordering::Release);
        mem::forget(half);
        assert_eq!(alive.load(Ordering::Relaxed), generation, "torn down while in use");
        true
    };
    let use_to_the_end = |mut n: u32| {
        loop {
            n = n % 20 + 1;
            let latest = opened.load(Ordering::Acquire);
            if use_it(n) {
                core::hint::spin_loop();
                continue;
            }
            // Guards that this worker has left there would keep the owner waiting.
            empty_pocket();
            if latest == last {
                break;
            }
            crew.until(&mut || opened.load(Ordering::Acquire) > latest);
        }
    };
    let tear_down = |generation| {
        assert!(use_it(20), "refused although open");
        assert_eq!(rundown.close(), CloseOutcome::Closed);
        empty_pocket();
        assert_eq!(rundown.wait(&Crew::WAIT), WaitOutcome::Drained);
        alive.store(0, Ordering::Relaxed);
        closed.fetch_max(generation, Ordering::AcqRel);
        if generation < last {
            alive.store(generation + 1, Ordering::Relaxed);
            assert!(rundown.reinit().is_ok(), "drained, with one owner");
            opened.store(generation + 1, Ordering::Release);
            crew.wake_all();
        }
    };
    crew.run(&|me| {
        assert!(use_it(2), "refused although open");
        crew.meet();
        if me == 0 {
            (1..=last).for_each(tear_down);
        } else {
            use_to_the_end(me as u32);
        }
    });
    assert_eq!(rundown.racy_held(), 0);
}

/// S8, S10, S12, S13: every worker uses, closes, cancels, waits and opens as it likes, with a
/// completion of its own, and moves meanwhile. No call hangs, nothing is lost, and each completion
/// has run or come back as often as it was left.
pub(crate) fn every_worker_is_an_owner<V: Variant>(new: fn() -> Rundown<V>) {
    unsafe fn run(due: *mut ()) {
        // SAFETY: leaked below, and only read.
        unsafe { &*due.cast::<AtomicIsize>() }.fetch_sub(1, Ordering::Relaxed);
    }
    let (rundown, crew) = (new(), Crew::gather());
    // Each worker's completion, and how often it is still to run or to come back.
    let completions = (0..crew.workers()).map(|_| {
        let due: &AtomicIsize = Box::leak(Box::default());
        // SAFETY: any worker may count.
        let completion = unsafe { Completion::new(run, ptr::from_ref(due).cast_mut().cast()) };
        (&*Box::leak(Box::new(completion)), due)
    });
    let completions: Vec<(&Completion, &AtomicIsize)> = completions.collect();
    let [granted, left, cancelled] = [const { AtomicUsize::new(0) }; 3];
    let one_more = |of: &AtomicUsize| of.fetch_add(1, Ordering::Relaxed);
    let cancel = || {
        let Ok(back) = rundown.cancel() else { return };
        one_more(&cancelled);
        if let Some(back) = back {
            let owner = completions.iter().find(|(own, _)| ptr::eq(*own, back.as_ptr()));
            owner.expect("one that was left").1.fetch_sub(1, Ordering::Relaxed);
        }
    };
    crew.run(&|me| {
        let (completion, due) = completions[me];
        crew.meet();
        for step in 0..200 {
            let guard = rundown.try_acquire().map(|first| {
                one_more(&granted);
                crew.wander(step * 31 + me);
                first.clone()
            });
            match (step + me) % 4 {
                0 => {
                    // If nothing is held then, the close runs it.
                    let guard = guard.filter(|_| step % 8 < 4);
                    if rundown.close_then(completion).is_ok() {
                        one_more(&left);
                        due.fetch_add(1, Ordering::Relaxed);
                    }
                    if guard.is_some() {
                        cancel();
                    }
                }
                1 | 2 => cancel(),
                _ => {
                    // The owner that closed last waits for all guards but its own.
                    drop(guard);
                    if step % 8 < 4 {
                        let _ = rundown.wait(&Crew::WAIT);
                    }
                    // Another worker may have been faster.
                    let _ = rundown.reinit();
                }
            }
        }
    });
    assert_eq!(rundown.wait(&Crew::WAIT), WaitOutcome::Drained);
    assert_eq!(rundown.racy_held(), 0);
    for (worker, (_, due)) in completions.iter().enumerate() {
        assert_eq!(due.load(Ordering::Relaxed), 0, "the completion of worker {worker}");
    }
    let counts = [granted, left, cancelled].map(AtomicUsize::into_inner);
    assert!(counts.iter().all(|&count| count > 0), "grants, completions, cancels: {counts:?}");
}
