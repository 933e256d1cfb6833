//! Over-release (S7): detected in every build, reported with the object and the counts, and no waiter hangs.
#![cfg(not(rundown_loom))]

mod support;

use std::thread;

use rundown::{Misuse, Park, Rundown, Spin, State, WaitOutcome};
use support::{Inline, Make, Plain, for_every_variant, misuses, panic_of, wake_ups};

for_every_variant!(
    s7_a_release_without_an_acquire_is_found,
    s7_a_late_release_too_many_is_found,
    s7_a_release_after_the_drain_is_found,
    s7_the_last_release_too_many_lets_the_waiters_go,
    s7_an_over_release_does_not_reach_the_next_life,
    s7_balanced_calls_are_never_misuse,
    s7_by_default_misuse_panics,
);

/// What the variants report of one object.
fn over_release<R: Make + ?Sized>(rundown: &Rundown<R>, held: i64, released: u64) -> Misuse {
    Misuse::OverRelease {
        object: rundown.id(),
        held,
        released,
    }
}

/// # Safety
/// As for [`Rundown::release_many`], except that it may be too many: the object is the test's alone,
/// and guards nothing.
unsafe fn release_too_many<R: Make + ?Sized>(rundown: &Rundown<R>, n: u32) {
    // SAFETY: the callers below see to it that nothing depends on this object's protection.
    unsafe { rundown.release_many(n) };
}

/// Plain finds it in the call and ignores that call; cache-aware, whose slots may be
/// negative, when it closes.
fn s7_a_release_without_an_acquire_is_found<R: Make + ?Sized>() {
    let rundown = R::make();
    rundown.acquire_many(2).expect("open");
    let found = misuses(|| {
        R::on_cpu(1);
        // SAFETY: nothing depends on it.
        unsafe { release_too_many(&*rundown, 5) };
    });
    if R::PLAIN {
        assert_eq!(found, [over_release(&*rundown, 2, 5)]);
        assert_eq!(rundown.racy_held(), 2, "the call changed nothing");
        assert_eq!(rundown.state(), State::Open);
        // SAFETY: acquired above.
        unsafe { rundown.release_many(2) };
        assert_eq!(rundown.try_wait(), Ok(()));
        return;
    }
    assert_eq!(found, [], "one CPU may release what another took");
    assert_eq!(rundown.racy_held(), -3);
    let found = misuses(|| {
        rundown.close();
    });
    assert_eq!(found, [over_release(&*rundown, 0, 3)]);
    assert_eq!(rundown.state(), State::Drained, "no waiter may hang");
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
}

fn s7_a_late_release_too_many_is_found<R: Make + ?Sized>() {
    let rundown = R::make();
    rundown.acquire_many(2).expect("open");
    rundown.close();
    let found = misuses(|| {
        // SAFETY: nothing depends on it.
        unsafe { release_too_many(&*rundown, 5) };
    });
    assert_eq!(found, [over_release(&*rundown, 2, 5)]);
    if R::PLAIN {
        assert_eq!(rundown.state(), State::Draining, "the call changed nothing");
        // SAFETY: acquired above.
        unsafe { rundown.release_many(2) };
    }
    assert_eq!(rundown.state(), State::Drained, "no waiter may hang");
    assert_eq!(rundown.racy_held(), 0);
}

fn s7_a_release_after_the_drain_is_found<R: Make + ?Sized>() {
    for complete in [false, true] {
        let rundown = R::make();
        rundown.close();
        if complete {
            rundown.complete().expect("drained");
        }
        let state = rundown.state();
        for n in [1, 2] {
            let found = misuses(|| {
                // SAFETY: nothing depends on it.
                unsafe { release_too_many(&*rundown, n) };
            });
            assert_eq!(found, [over_release(&*rundown, 0, u64::from(n))]);
            assert_eq!(rundown.state(), state);
            assert_eq!(rundown.racy_held(), 0);
        }
        assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    }
}

fn s7_the_last_release_too_many_lets_the_waiters_go<R: Make + ?Sized>() {
    let rundown = R::make();
    rundown.acquire().expect("open");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(rundown.wait(&Park), WaitOutcome::Drained));
        }
        // As long as one of them still counts what is held, that one finds the misuse.
        while rundown.state() != State::Draining {
            thread::yield_now();
        }
        let mut woken = Vec::new();
        let found = misuses(|| {
            woken = wake_ups(|| {
                // SAFETY: nothing depends on it.
                unsafe { release_too_many(&*rundown, 2) };
            });
        });
        assert_eq!(found, [over_release(&*rundown, 1, 2)]);
        if R::PLAIN {
            assert_eq!(woken, [], "nothing changed");
            // SAFETY: acquired above.
            unsafe { rundown.release() };
        } else {
            assert_eq!(woken, [rundown.id()]);
        }
    });
}

fn s7_an_over_release_does_not_reach_the_next_life<R: Make + ?Sized>() {
    let rundown = R::make();
    rundown.close();
    let found = misuses(|| {
        // SAFETY: nothing depends on it.
        unsafe { release_too_many(&*rundown, 7) };
    });
    assert_eq!(found.len(), 1);
    rundown.reinit().expect("drained");
    let guard = rundown.try_acquire().expect("open");
    assert_eq!(rundown.racy_held(), 1);
    rundown.close();
    assert_eq!(rundown.state(), State::Draining);
    drop(guard);
    assert_eq!(rundown.state(), State::Drained);
}

/// The control: whatever is balanced is reported nowhere.
fn s7_balanced_calls_are_never_misuse<R: Make + ?Sized>() {
    let rundown = R::make();
    let found = misuses(|| {
        for life in 0..50 {
            let mut guards = rundown.try_acquire_many(life % 5 + 1).expect("open");
            R::on_cpu(life as usize);
            drop(guards.take_one());
            if life % 3 == 0 {
                rundown.close();
                if life % 2 == 0 {
                    let _ = rundown.cancel();
                }
            }
            R::on_cpu(life as usize + 1);
            drop(guards);
            rundown.close();
            rundown.reinit().expect("drained");
        }
    });
    assert_eq!(found, []);
}

fn s7_by_default_misuse_panics<R: Make + ?Sized>() {
    let rundown = R::make();
    rundown.acquire().expect("open");
    rundown.close();
    let text = panic_of(|| {
        // SAFETY: nothing depends on it.
        unsafe { release_too_many(&*rundown, 3) };
    });
    let object = rundown.id();
    assert_eq!(
        text,
        format!("rundown: 3 released but 1 held, on the object at {object}")
    );
}

#[test]
fn misuse_is_described() {
    let object = Rundown::<Inline<1>>::new();
    let out_of_range = Misuse::OutOfRange {
        object: object.id(),
    };
    assert_eq!(
        out_of_range.to_string(),
        format!(
            "rundown: a count is out of range, on the object at {}",
            object.id()
        )
    );
    let over = over_release(&Rundown::<Plain>::new(), 1, 2);
    assert!(format!("{over:?}").contains("OverRelease"), "{over:?}");
}
