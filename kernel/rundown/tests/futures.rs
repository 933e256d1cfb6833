//! Waiters that are futures: under a real executor and polled by hand; and the table of wakers, entry by entry, on
//! tables that no other test rings.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::future::{Future, IntoFuture};
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use rundown::{
    AsyncPlatform, Drain, HostPlatform, ObjectId, Park, Plain, Platform, Rundown, WaitOutcome,
    Wakers,
};
use support::{Make, executor, for_every_variant};

for_every_variant!(
    many_futures_and_threads_wait_together,
    a_dropped_future_leaves_no_trace,
    the_last_waker_is_the_one_called,
    a_wake_up_for_another_object_changes_nothing,
);

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

fn counter() -> (Arc<Counter>, Waker) {
    let counter = Arc::new(Counter::default());
    (Arc::clone(&counter), Waker::from(counter))
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// An object that tasks may share.
fn shared<R: Make + ?Sized>() -> &'static Rundown<R> {
    Box::leak(R::make())
}

fn many_futures_and_threads_wait_together<R: Make + ?Sized>() {
    const TASKS: usize = 100;
    let executor = executor();
    let rundown = shared::<R>();
    for _ in 0..5 {
        let guards = rundown.try_acquire_many(4).expect("open");
        let tasks: Vec<_> =
            (0..TASKS).map(|_| executor.spawn(rundown.drain().into_future())).collect();
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(rundown.wait(&Park), WaitOutcome::Drained));
            scope.spawn(|| {
                let far = HostPlatform::after(Duration::from_secs(3600));
                let ended = rundown.wait_deadline(&Park, far);
                assert_eq!(ended, Ok(WaitOutcome::Drained));
            });
            scope.spawn(|| {
                let mut guards = guards;
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

fn a_dropped_future_leaves_no_trace<R: Make + ?Sized>() {
    let rundown = R::make();
    let _guard = rundown.try_acquire().expect("open");
    let (counter, waker) = counter();
    let references = Arc::strong_count(&counter);
    {
        let mut future = pin!(rundown.drain().into_future());
        assert!(poll_with(future.as_mut(), &waker).is_pending());
        assert_eq!(Arc::strong_count(&counter), references + 1, "the table has the waker");
    }
    assert_eq!(Arc::strong_count(&counter), references, "a waker was kept");
    rundown.cancel().expect("draining");
    assert_eq!(counter.calls(), 0, "woken after its end");
}

fn the_last_waker_is_the_one_called<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let ((first, first_waker), (second, second_waker)) = (counter(), counter());
    let mut future = pin!(rundown.drain().into_future());
    assert!(poll_with(future.as_mut(), &first_waker).is_pending());
    // It moves to another task.
    assert!(poll_with(future.as_mut(), &second_waker).is_pending());
    assert_eq!(Arc::strong_count(&first), 2, "the old waker was kept");
    drop(guard);
    assert_eq!((first.calls(), second.calls()), (0, 1));
    let polled = poll_with(future.as_mut(), &second_waker);
    assert_eq!(polled, Poll::Ready(WaitOutcome::Drained));
}

fn a_wake_up_for_another_object_changes_nothing<R: Make + ?Sized>() {
    let rundown = R::make();
    let guard = rundown.try_acquire().expect("open");
    let (counter, waker) = counter();
    let mut future = pin!(rundown.drain().into_future());
    for _ in 0..3 {
        assert!(poll_with(future.as_mut(), &waker).is_pending());
        // A spurious wake-up, as one for an object in the same bucket would be.
        let before = counter.calls();
        HostPlatform::wakers().wake(rundown.id());
        assert_eq!(counter.calls(), before + 1);
        // It has left the table: the next poll puts it in again.
        HostPlatform::wakers().wake(rundown.id());
        assert_eq!(counter.calls(), before + 1);
    }
    assert!(poll_with(future.as_mut(), &waker).is_pending());
    drop(guard);
    let polled = poll_with(future.as_mut(), &waker);
    assert_eq!(polled, Poll::Ready(WaitOutcome::Drained));
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

/// A future whose memory stays when it is dropped: what the table still finds there is a failure, but no
/// accident.
struct Waiter<'a> {
    future: ManuallyDrop<Pin<Box<ManuallyDrop<Drain<'a, Variant>>>>>,
    counter: Arc<Counter>,
}

impl<'a> Waiter<'a> {
    /// One that is in the table.
    fn of(object: &'a Object) -> Self {
        let future = Box::pin(ManuallyDrop::new(object.drain()));
        let mut waiter = Self { future: ManuallyDrop::new(future), counter: Arc::default() };
        assert!(waiter.poll().is_pending());
        waiter
    }

    fn poll(&mut self) -> Poll<WaitOutcome> {
        let waker = Waker::from(Arc::clone(&self.counter));
        // SAFETY: only a `Pin` of what is in the pinned wrapper, which has no pinning of its own.
        let future = unsafe { self.future.as_mut().map_unchecked_mut(|inner| &mut **inner) };
        future.poll(&mut Context::from_waker(&waker))
    }

    fn calls(&self) -> usize {
        self.counter.calls()
    }

    /// Drops the future, and leaks its memory.
    fn end(mut self) {
        // SAFETY: nothing is moved out of the pin.
        let inner = unsafe { self.future.as_mut().get_unchecked_mut() };
        // SAFETY: once, and nothing uses it after this.
        unsafe { ManuallyDrop::drop(inner) };
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
    // A ring that comes before the entry is no use to it: the future looks by itself.
    table.ring(object.id());
    object.reinit().expect("drained");
    object.acquire().expect("open");
    let mut late = Waiter::of(&object);
    assert!(table.deliver());
    assert_eq!(late.calls(), 1, "a spurious wake-up is harmless");
    assert!(late.poll().is_pending());
    late.end();
}

#[test]
fn a_dropped_future_is_not_in_the_table() {
    let object = held();
    let waiter = Waiter::of(&object);
    assert_eq!(waiting(), 1);
    waiter.end();
    assert_eq!(waiting(), 0);
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

/// Four futures, of which some end and others come, in every order of ends: exactly those that are left are
/// woken, each once.
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
