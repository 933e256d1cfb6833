//! How waiters pass the time: spinning, parking, deadlines, polling. With any number of them, of
//! mixed policies, on one object.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rundown::{
    Clock, HostPlatform, ObjectId, Park, PlainRundown, Platform, Protected, RunDownError, Spin,
    State, Wait, WaitOutcome, Waiting,
};
use support::{Make, TestPlatform, for_every_sized_variant};

for_every_sized_variant!(
    no_wake_up_is_lost,
    mixed_waiters_all_return,
    a_missed_deadline_says_what_is_outstanding,
    a_cancel_ends_a_wait_with_a_deadline,
    an_impatient_policy_does_not_end_the_wait,
    an_impatient_policy_does_not_end_the_patience,
    the_policy_learns_object_and_deadline,
    a_policy_is_not_asked_when_there_is_nothing_to_wait_for,
    the_first_look_after_the_deadline_ends_the_wait,
    a_cancelled_run_down_leaves_a_later_drain_alone,
);

fn no_wake_up_is_lost<R: Make>() {
    for round in 0..500 {
        let rundown = R::make();
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for cpu in 0..2 {
                let guard = rundown.try_acquire().expect("open");
                let start = &start;
                scope.spawn(move || {
                    R::on_cpu(cpu + round % 2);
                    start.wait();
                    drop(guard);
                });
            }
            start.wait();
            // Hangs if the wake-up is lost.
            assert_eq!(rundown.wait(&Park), WaitOutcome::Drained);
        });
        assert!(rundown.is_drained());
    }
}

fn mixed_waiters_all_return<R: Make>() {
    for _ in 0..30 {
        let rundown = R::make();
        let guard = rundown.try_acquire().expect("open");
        let far = HostPlatform::after(Duration::from_secs(3600));
        thread::scope(|scope| {
            let waiters = [
                scope.spawn(|| rundown.wait(&Park)),
                scope.spawn(|| rundown.wait_deadline(&Park, far).expect("far away")),
                scope.spawn(|| {
                    let mut drain = rundown.drain();
                    loop {
                        match drain.poll() {
                            Some(outcome) => return outcome,
                            None => thread::yield_now(),
                        }
                    }
                }),
            ];
            // One that loses patience before anything happens.
            let near = HostPlatform::after(Duration::from_micros(50));
            let outstanding = rundown.wait_deadline(&Park, near).expect_err("held");
            assert_eq!(outstanding.held, 1);
            drop(guard);
            for waiter in waiters {
                assert_eq!(waiter.join().expect("no failure"), WaitOutcome::Drained);
            }
        });
    }
}

fn a_missed_deadline_says_what_is_outstanding<R: Make>() {
    let rundown = R::make();
    R::on_cpu(0);
    let mut guards = rundown.try_acquire_many(3).expect("open");
    let mut drain = rundown.drain();
    R::on_cpu(1);
    drop(guards.take_one());
    let patience = Duration::from_millis(3);
    for policy in [&Spin as &dyn Wait, &Park] {
        let started = Instant::now();
        let deadline = HostPlatform::after(patience);
        // The same wait, once more.
        let outstanding = drain.wait_deadline(policy, deadline).expect_err("held");
        assert!(TestPlatform::now() >= deadline, "gave up early");
        assert!(started.elapsed() >= patience);
        assert_eq!(drain.object(), rundown.id());
        for outstanding in [outstanding, drain.outstanding()] {
            assert_eq!(outstanding.object, rundown.id());
            assert_eq!((outstanding.state, outstanding.held), (State::Draining, 2));
        }
    }
    // It is closed for good, and drains on.
    assert!(rundown.try_acquire().is_none());
    drop(guards);
    assert_eq!(drain.wait_deadline(&Park, 0), Ok(WaitOutcome::Drained));
    assert_eq!(drain.wait(&Park), WaitOutcome::Drained);
}

fn a_cancel_ends_a_wait_with_a_deadline<R: Make>() {
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

fn an_impatient_policy_does_not_end_the_wait<R: Make>() {
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

fn an_impatient_policy_does_not_end_the_patience<R: Make>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let deadline = HostPlatform::after(Duration::from_millis(2));
    let policy = Impatient { returns: Cell::new(usize::MAX), at_last: Cell::new(Some(|| ())) };
    let outstanding = rundown.wait_deadline(&policy, deadline).expect_err("one is held");
    assert!(TestPlatform::now() >= deadline, "gave up early");
    assert_eq!(outstanding.held, 1);
    drop(guard);
}

fn the_policy_learns_object_and_deadline<R: Make>() {
    struct Listener<F>(Cell<Option<Waiting>>, Cell<Option<F>>);
    impl<F: FnOnce()> Wait for Listener<F> {
        fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
            self.0.set(Some(waiting));
            if !ready() && waiting.deadline.is_none() {
                let then = self.1.take().expect("it waits once");
                then();
            }
        }
    }
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let listener = Listener(Cell::new(None), Cell::new(Some(|| drop(guard))));
    let heard = |deadline| {
        let waiting = listener.0.take().expect("asked");
        let expected = (rundown.id(), deadline);
        assert_eq!((waiting.object, waiting.deadline), expected);
    };
    assert!(rundown.wait_deadline(&listener, 42).is_err());
    heard(Some(42));
    assert_eq!(rundown.wait(&listener), WaitOutcome::Drained);
    heard(None);
}

fn a_policy_is_not_asked_when_there_is_nothing_to_wait_for<R: Make>() {
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

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// Its clock stands still.
struct Stopped;

impl Platform for Stopped {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {}
}

impl Clock for Stopped {
    fn now() -> u64 {
        NOW.get()
    }
}

/// Looks at these times, of which the last is the deadline.
struct At<'a>(&'a [u64]);

impl Wait for At<'_> {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        for &time in self.0 {
            NOW.set(time);
            assert_eq!(ready(), Some(time) == waiting.deadline, "at {time}");
        }
    }
}

/// Not one before, and not one after.
#[test]
fn a_deadline_passes_at_its_own_tick() {
    let rundown = PlainRundown::<Stopped>::new();
    let guard = rundown.try_acquire().expect("open");
    for (times, deadline) in
        [(&[0][..], 0), (&[1, 7, 8, 9], 9), (&[u64::MAX - 1, u64::MAX], u64::MAX)]
    {
        NOW.set(0);
        let missed = rundown.wait_deadline(&At(times), deadline);
        assert_eq!(missed.expect_err("one is held").held, 1);
    }
    drop(guard);
    assert!(rundown.is_drained());
}
