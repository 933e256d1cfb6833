//! How waiters pass the time: spinning, parking, deadlines, polling. With any number of them, of
//! mixed policies, on one object.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rundown::{Clock, HostPlatform, Park, Spin, State, Wait, WaitOutcome, Waiting};
use support::{Make, Script, TestPlatform, for_every_variant};

for_every_variant!(
    wait_outlasts_the_holder,
    a_missed_deadline_says_what_is_outstanding,
    a_deadline_in_the_past_makes_one_attempt,
    a_missed_deadline_may_be_tried_again,
    a_cancel_ends_a_wait_with_a_deadline,
    an_impatient_policy_does_not_end_the_wait,
    an_impatient_policy_does_not_end_the_patience,
    the_policy_is_told_object_and_deadline,
    a_policy_is_not_asked_when_there_is_nothing_to_wait_for,
    a_late_poll_gives_the_right_answer,
    a_drain_may_be_dropped,
    outstanding_counts_follow_the_releases,
    mixed_waiters_all_return,
);

fn wait_outlasts_the_holder<R: Make + ?Sized>() {
    for policy in [&Spin as &(dyn Wait + Sync), &Park] {
        let rundown = R::make();
        let guard = rundown.try_acquire().expect("open");
        thread::scope(|scope| {
            let waiter = scope.spawn(|| rundown.wait(policy));
            while rundown.state() == State::Open {
                thread::yield_now();
            }
            // Time enough to fall asleep, and to return by mistake.
            thread::sleep(Duration::from_millis(5));
            assert!(!waiter.is_finished(), "returned while protection is held");
            drop(guard);
            assert_eq!(waiter.join().expect("no failure"), WaitOutcome::Drained);
        });
    }
}

fn a_missed_deadline_says_what_is_outstanding<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let mut guards = rundown.try_acquire_many(3).expect("open");
    R::on_cpu(1);
    drop(guards.take_one());
    let patience = Duration::from_millis(3);
    for parked in [false, true] {
        let started = Instant::now();
        let deadline = HostPlatform::after(patience);
        let missed = if parked {
            rundown.wait_deadline(&Park, deadline)
        } else {
            rundown.wait_deadline(&Spin, deadline)
        };
        let outstanding = missed.expect_err("two are held");
        assert!(TestPlatform::now() >= deadline, "gave up early");
        assert!(started.elapsed() >= patience);
        assert_eq!(outstanding.object, rundown.id());
        assert_eq!((outstanding.state, outstanding.held), (State::Draining, 2));
    }
    // It is closed for good, and drains on.
    assert!(rundown.try_acquire().is_none());
    drop(guards);
    assert!(rundown.is_drained());
}

fn a_deadline_in_the_past_makes_one_attempt<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let outstanding = rundown.wait_deadline(&Park, 0).expect_err("one is held");
    assert_eq!(outstanding.held, 1);
    assert_eq!(rundown.state(), State::Draining);
    drop(guard);
    assert_eq!(rundown.wait_deadline(&Park, 0), Ok(WaitOutcome::Drained));
    // Also when nothing was held in the first place.
    let idle = R::make();
    assert_eq!(idle.wait_deadline(&Spin, 0), Ok(WaitOutcome::Drained));
}

fn a_missed_deadline_may_be_tried_again<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let mut drain = rundown.drain();
    for _ in 0..3 {
        let soon = HostPlatform::after(Duration::from_millis(1));
        assert!(drain.wait_deadline(&Park, soon).is_err());
    }
    drop(guard);
    // The same wait, and a new one.
    assert_eq!(drain.wait_deadline(&Park, 0), Ok(WaitOutcome::Drained));
    assert_eq!(drain.wait(&Park), WaitOutcome::Drained);
    assert_eq!(rundown.wait_deadline(&Park, 0), Ok(WaitOutcome::Drained));
}

fn a_cancel_ends_a_wait_with_a_deadline<R: Make + ?Sized>() {
    let rundown = R::make();
    let _guard = rundown.try_acquire().expect("open");
    let far = HostPlatform::after(Duration::from_secs(3600));
    let mut drain = rundown.drain();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || drain.wait_deadline(&Park, far));
        rundown.cancel().expect("draining");
        let ended = waiter.join().expect("no failure");
        assert_eq!(ended, Ok(WaitOutcome::Cancelled));
    });
}

/// A policy that breaks its contract: it returns early, this many times.
struct Impatient<F> {
    returns: Cell<usize>,
    at_last: Cell<Option<F>>,
}

impl<F: FnOnce()> Wait for Impatient<F> {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        match self.returns.get() {
            0 => self.at_last.take().map_or((), |then| then()),
            left => self.returns.set(left - 1),
        }
        // Sometimes it does not even ask.
        if self.returns.get().is_multiple_of(2) {
            ready();
        }
    }
}

fn an_impatient_policy_does_not_end_the_wait<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let released = Cell::new(false);
    let policy = Impatient {
        returns: Cell::new(5),
        at_last: Cell::new(Some(|| {
            released.set(true);
            drop(guard);
        })),
    };
    assert_eq!(rundown.wait(&policy), WaitOutcome::Drained);
    assert!(released.get(), "S2 rests on the policy");
}

fn an_impatient_policy_does_not_end_the_patience<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let deadline = HostPlatform::after(Duration::from_millis(2));
    let policy = Impatient {
        returns: Cell::new(usize::MAX),
        at_last: Cell::new(Some(|| ())),
    };
    let outstanding = rundown
        .wait_deadline(&policy, deadline)
        .expect_err("one is held");
    assert!(TestPlatform::now() >= deadline, "gave up early");
    assert_eq!(outstanding.held, 1);
    drop(guard);
}

fn the_policy_is_told_object_and_deadline<R: Make + ?Sized>() {
    struct Listener(Cell<Option<Waiting>>);
    impl Wait for Listener {
        fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
            self.0.set(Some(waiting));
            ready();
        }
    }
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let listener = Listener(Cell::new(None));
    assert!(rundown.wait_deadline(&listener, 42).is_err());
    let waiting = listener.0.take().expect("asked");
    assert_eq!((waiting.object, waiting.deadline), (rundown.id(), Some(42)));

    struct Then<F>(Cell<Option<F>>, Listener);
    impl<F: FnOnce()> Wait for Then<F> {
        fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
            self.1.wait_until(waiting, ready);
            if let Some(then) = self.0.take() {
                then();
            }
        }
    }
    let policy = Then(Cell::new(Some(|| drop(guard))), listener);
    assert_eq!(rundown.wait(&policy), WaitOutcome::Drained);
    let waiting = policy.1.0.take().expect("asked");
    assert_eq!((waiting.object, waiting.deadline), (rundown.id(), None));
}

fn a_policy_is_not_asked_when_there_is_nothing_to_wait_for<R: Make + ?Sized>() {
    struct Never;
    impl Wait for Never {
        fn wait_until(&self, _: Waiting, _: &mut dyn FnMut() -> bool) {
            panic!("nothing to wait for");
        }
    }
    let rundown = R::make();
    assert_eq!(rundown.wait(&Never), WaitOutcome::Drained);
    assert_eq!(rundown.wait_deadline(&Never, 0), Ok(WaitOutcome::Drained));
}

fn a_late_poll_gives_the_right_answer<R: Make + ?Sized>() {
    let rundown = R::make();
    let mut first = rundown.drain();
    rundown.reinit().expect("drained");
    let guard = rundown.try_acquire().expect("open");
    let mut second = rundown.drain();
    assert_eq!(first.poll(), Some(WaitOutcome::Drained));
    assert_eq!(second.poll(), None);
    rundown.cancel().expect("draining");
    let mut third = rundown.drain();
    assert_eq!(first.poll(), Some(WaitOutcome::Drained));
    assert_eq!(second.poll(), Some(WaitOutcome::Cancelled));
    assert_eq!(third.poll(), None);
    drop(guard);
    for life in 0..3 {
        for drain in [&mut first, &mut second, &mut third] {
            let ended = drain.poll();
            assert_eq!(ended, Some(WaitOutcome::Drained), "life {life}");
        }
        rundown.reinit().expect("drained");
        rundown.close();
    }
}

fn a_drain_may_be_dropped<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    drop(rundown.drain());
    assert_eq!(rundown.state(), State::Draining, "closed all the same");
    let mut drain = rundown.drain();
    drop(guard);
    assert_eq!(drain.poll(), Some(WaitOutcome::Drained));
}

fn outstanding_counts_follow_the_releases<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let mut guards = rundown.try_acquire_many(4).expect("open");
    let drain = rundown.drain();
    assert_eq!(drain.object(), rundown.id());
    for cpu in 0..4 {
        assert_eq!(drain.outstanding().held, 4 - cpu);
        R::on_cpu(cpu as usize);
        drop(guards.take_one());
    }
    let outstanding = drain.outstanding();
    assert_eq!((outstanding.state, outstanding.held), (State::Drained, 0));
    // A script needs something to wait for.
    let script = Script::new(|| ());
    assert_eq!(rundown.wait(&script), WaitOutcome::Drained);
    assert!(!script.played());
}

fn mixed_waiters_all_return<R: Make + ?Sized>() {
    for round in 0..30 {
        let rundown = R::make();
        let guard = rundown.try_acquire().expect("open");
        let (returned, missed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let drained = |outcome| {
            assert_eq!(outcome, WaitOutcome::Drained);
            returned.fetch_add(1, Ordering::Relaxed);
        };
        rundown.close();
        thread::scope(|scope| {
            scope.spawn(|| drained(rundown.wait(&Park)));
            scope.spawn(|| {
                let mut drain = rundown.drain();
                loop {
                    match drain.poll() {
                        Some(outcome) => return drained(outcome),
                        None => thread::yield_now(),
                    }
                }
            });
            scope.spawn(|| {
                let far = HostPlatform::after(Duration::from_secs(3600));
                drained(rundown.wait_deadline(&Park, far).expect("far away"));
            });
            // One that loses patience before anything happens, and comes again.
            let again = scope.spawn(|| {
                let near = HostPlatform::after(Duration::from_micros(50));
                match rundown.wait_deadline(&Park, near) {
                    Ok(outcome) => drained(outcome),
                    Err(outstanding) => {
                        assert_eq!(outstanding.held, 1);
                        missed.fetch_add(1, Ordering::Relaxed);
                        drained(rundown.wait(&Park));
                    }
                }
            });
            if round % 2 == 0 {
                while missed.load(Ordering::Relaxed) == 0 && !again.is_finished() {
                    thread::yield_now();
                }
            }
            drop(guard);
        });
        assert_eq!(returned.into_inner(), 4);
        if round % 2 == 0 {
            assert_eq!(missed.into_inner(), 1);
        }
    }
}
