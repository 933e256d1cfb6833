//! Waiters that are futures: under a real executor; and the table of wakers, entry by entry, on
//! tables that no other test rings.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::future::{Future, IntoFuture};
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use rundown::{
    AsyncPlatform, Drain, HostPlatform, ObjectId, Park, Plain, Platform, Rundown, WaitOutcome,
    Wakers,
};
use support::{Make, for_every_variant};

for_every_variant!(many_futures_and_threads_wait_together);

fn many_futures_and_threads_wait_together<R: Make + ?Sized>() {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let executor = executor.expect("threads can be started");
    // An object that tasks may share.
    let rundown: &'static Rundown<R> = Box::leak(R::make());
    for _ in 0..5 {
        let mut guards = rundown.try_acquire_many(4).expect("open");
        let tasks: Vec<_> =
            (0..100).map(|_| executor.spawn(rundown.drain().into_future())).collect();
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(rundown.wait(&Park), WaitOutcome::Drained));
            scope.spawn(|| {
                let far = HostPlatform::after(std::time::Duration::from_secs(3600));
                let ended = rundown.wait_deadline(&Park, far);
                assert_eq!(ended, Ok(WaitOutcome::Drained));
            });
            scope.spawn(move || {
                while let Some(_one) = guards.take_one() {
                    R::on_cpu(guards.count() as usize);
                    thread::yield_now();
                }
            });
        });
        for task in tasks {
            let outcome = executor.block_on(task).expect("no failure");
            assert_eq!(outcome, WaitOutcome::Drained);
        }
        rundown.reinit().expect("drained");
    }
}

/// Counts its calls.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Counter {
    fn calls(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    /// Of this test, as each runs on a thread of its own.
    static TABLES: Cell<&'static [Wakers; 2]> =
        Cell::new(Box::leak(Box::new([Wakers::new(), Wakers::new()])));
    /// Which of them the platform names at present.
    static NAMED: Cell<usize> = const { Cell::new(0) };
}

/// Its wake-up only rings, on both tables.
struct Quiet;

impl Platform for Quiet {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(object: ObjectId) {
        for table in TABLES.get() {
            table.ring(object);
        }
    }
}

impl AsyncPlatform for Quiet {
    fn wakers() -> &'static Wakers {
        &TABLES.get()[NAMED.get()]
    }
}

type Variant = Plain<Quiet>;
type Object = Rundown<Variant>;

/// How many futures are in the first table.
fn waiting() -> usize {
    let shown = format!("{:?}", TABLES.get()[0]);
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("`Wakers { waiting: 2, .. }`")
}

/// A future whose memory stays when it is dropped: an entry that the table still finds there is a
/// failure, but no accident.
struct Waiter<'a> {
    future: &'a mut ManuallyDrop<Drain<'a, Variant>>,
    counter: Arc<Counter>,
}

impl<'a> Waiter<'a> {
    /// One that is in the table.
    fn of(object: &'a Object) -> Self {
        let future = Box::leak(Box::new(ManuallyDrop::new(object.drain())));
        let mut waiter = Self { future, counter: Arc::default() };
        assert!(waiter.poll().is_pending());
        waiter
    }

    fn poll(&mut self) -> Poll<WaitOutcome> {
        let waker = Waker::from(Arc::clone(&self.counter));
        // SAFETY: leaked, and never moved.
        let future = unsafe { Pin::new_unchecked(&mut **self.future) };
        future.poll(&mut Context::from_waker(&waker))
    }

    fn calls(&self) -> usize {
        self.counter.calls()
    }

    /// Drops the future, and leaks its memory.
    fn end(self) {
        // SAFETY: once, and nothing uses it after this.
        unsafe { ManuallyDrop::drop(self.future) };
    }
}

/// An object that is held.
fn held() -> Object {
    let object = Object::new();
    object.acquire().expect("open");
    object
}

#[test]
fn rings_are_kept_until_they_are_delivered() {
    let [table, _] = TABLES.get();
    assert!(!table.deliver(), "not rung");
    let object = held();
    let mut waiters = [(); 2].map(|()| Waiter::of(&object));
    assert!(waiters[0].poll().is_pending());
    assert_eq!(waiting(), 2, "an entry each");
    // SAFETY: acquired by `held`.
    unsafe { object.release() };
    let calls = |waiters: &[Waiter<'_>; 2]| waiters.each_ref().map(Waiter::calls);
    assert_eq!((calls(&waiters), waiting()), ([0; 2], 2), "only rung so far");
    assert!(table.deliver());
    assert_eq!((calls(&waiters), waiting()), ([1; 2], 0));
    assert!(!table.deliver(), "each ring is delivered once");
    for mut waiter in waiters {
        assert_eq!(waiter.poll(), Poll::Ready(WaitOutcome::Drained));
        waiter.end();
    }
}

#[test]
fn the_last_waker_is_the_one_called() {
    let object = held();
    let mut waiter = Waiter::of(&object);
    // It moves to another task.
    let first = mem::take(&mut waiter.counter);
    assert!(waiter.poll().is_pending());
    assert_eq!(Arc::strong_count(&first), 1, "the old waker was kept");
    // SAFETY: acquired by `held`.
    unsafe { object.release() };
    assert!(TABLES.get()[0].deliver());
    assert_eq!((first.calls(), waiter.calls()), (0, 1));
    waiter.end();
}

#[test]
fn a_future_keeps_to_its_table() {
    let object = held();
    let mut waiter = Waiter::of(&object);
    NAMED.set(1);
    assert_eq!(waiting(), 1);
    assert!(waiter.poll().is_pending());
    assert_eq!(waiting(), 1, "it entered another table, too");
    waiter.end();
    assert_eq!(waiting(), 0, "it left another table");
    assert_eq!(format!("{:?}", TABLES.get()[1]), "Wakers { waiting: 0, .. }");
}

/// Four futures, of which some end and others come, in every order of ends: exactly those that are
/// left are woken, each once.
#[test]
fn entries_come_and_go_in_any_order() {
    for first in 0..4 {
        for second in 0..4 {
            let object = held();
            let mut waiters: Vec<Option<Waiter<'_>>> =
                (0..4).map(|_| Some(Waiter::of(&object))).collect();
            for gone in [first, second] {
                // If it is the same, the one that came last.
                let gone = if waiters[gone].is_some() { gone } else { waiters.len() - 1 };
                waiters[gone].take().expect("not ended yet").end();
                waiters.push(Some(Waiter::of(&object)));
                assert_eq!(waiting(), 4, "{first} and {second} ended");
            }
            // SAFETY: acquired by `held`.
            unsafe { object.release() };
            assert!(TABLES.get()[0].deliver());
            for mut waiter in waiters.into_iter().flatten() {
                assert_eq!(waiter.calls(), 1, "{first} and {second} ended");
                assert_eq!(waiter.poll(), Poll::Ready(WaitOutcome::Drained));
                waiter.end();
            }
            assert_eq!(waiting(), 0);
        }
    }
}

/// Objects of every bucket, each with one future: its ring wakes that one.
#[test]
fn every_bucket_is_delivered() {
    const BUCKETS: usize = 64;
    let objects: Vec<Object> = (0..4096).map(|_| held()).collect();
    for bucket in 0..BUCKETS {
        let of_bucket = |object: &&Object| object.id().bucket(BUCKETS) == bucket;
        let object = objects.iter().find(of_bucket).expect("64 per bucket");
        let mut waiter = Waiter::of(object);
        // SAFETY: acquired by `held`.
        unsafe { object.release() };
        assert_eq!(waiter.calls(), 0);
        assert!(TABLES.get()[0].deliver());
        assert_eq!(waiter.calls(), 1, "bucket {bucket}");
        assert_eq!(waiter.poll(), Poll::Ready(WaitOutcome::Drained));
        waiter.end();
    }
}
