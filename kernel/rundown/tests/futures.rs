//! Waiters that are futures, under a real executor and polled by hand.
#![cfg(not(rundown_loom))]

mod support;

use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use rundown::{
    AsyncPlatform, HostPlatform, ObjectId, Park, PlainRundown, Platform, Rundown, State,
    WaitOutcome, Wakers,
};
use support::{Make, executor, for_every_variant};

for_every_variant!(
    a_future_completes_under_an_executor,
    a_future_learns_of_a_cancel,
    many_futures_and_threads_wait_together,
    a_timed_out_future_leaves_no_trace,
    a_dropped_future_leaves_no_trace,
    a_ready_future_never_enters_the_table,
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

fn a_future_completes_under_an_executor<R: Make + ?Sized>() {
    let executor = executor();
    for round in 0..100 {
        let rundown = shared::<R>();
        let guard = rundown.try_acquire().expect("open");
        let waiter = executor.spawn(rundown.drain().into_future());
        executor.spawn(async move {
            R::on_cpu(round % 3);
            drop(guard);
        });
        // `await` on the drain itself, too.
        let outcome = executor.block_on(async { rundown.drain().await });
        assert_eq!(outcome, WaitOutcome::Drained);
        let outcome = executor.block_on(waiter).expect("no failure");
        assert_eq!(outcome, WaitOutcome::Drained);
    }
}

fn a_future_learns_of_a_cancel<R: Make + ?Sized>() {
    let executor = executor();
    let rundown = shared::<R>();
    let _guard = rundown.try_acquire().expect("open");
    for _ in 0..50 {
        let waiter = executor.spawn(rundown.drain().into_future());
        rundown.cancel().expect("draining");
        let outcome = executor.block_on(waiter).expect("no failure");
        assert_eq!(outcome, WaitOutcome::Cancelled);
    }
}

fn many_futures_and_threads_wait_together<R: Make + ?Sized>() {
    const TASKS: usize = 100;
    let executor = executor();
    let rundown = shared::<R>();
    for _ in 0..5 {
        let guards = rundown.try_acquire_many(4).expect("open");
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| executor.spawn(rundown.drain().into_future()))
            .collect();
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

/// Cancelled by its executor, with a timer that any future works with.
fn a_timed_out_future_leaves_no_trace<R: Make + ?Sized>() {
    let executor = executor();
    let rundown = shared::<R>();
    let guard = rundown.try_acquire().expect("open");
    let patience = Duration::from_millis(2);
    let ended = executor
        .block_on(async { tokio::time::timeout(patience, rundown.drain().into_future()).await });
    assert!(ended.is_err(), "still held");
    assert_eq!(rundown.state(), State::Draining);
    // The release meets a table without it.
    drop(guard);
    assert!(rundown.is_drained());
}

fn a_dropped_future_leaves_no_trace<R: Make + ?Sized>() {
    let rundown = R::make();
    let _guard = rundown.try_acquire().expect("open");
    let (counter, waker) = counter();
    let references = Arc::strong_count(&counter);
    {
        let mut future = pin!(rundown.drain().into_future());
        assert!(poll_with(future.as_mut(), &waker).is_pending());
        assert_eq!(
            Arc::strong_count(&counter),
            references + 1,
            "the table has the waker"
        );
    }
    assert_eq!(Arc::strong_count(&counter), references, "a waker was kept");
    rundown.cancel().expect("draining");
    assert_eq!(counter.calls(), 0, "woken after its end");
}

fn a_ready_future_never_enters_the_table<R: Make + ?Sized>() {
    let rundown = R::make();
    let (counter, waker) = counter();
    let references = Arc::strong_count(&counter);
    let mut future = pin!(rundown.drain().into_future());
    let polled = poll_with(future.as_mut(), &waker);
    assert_eq!(polled, Poll::Ready(WaitOutcome::Drained));
    assert_eq!(Arc::strong_count(&counter), references);
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

/// A platform with a table of its own, so that nothing but the test rings it; like a kernel's, its
/// wake-up only rings.
struct Quiet;

static TABLE: Wakers = Wakers::new();

impl Platform for Quiet {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(object: ObjectId) {
        TABLE.ring(object);
    }
}

impl AsyncPlatform for Quiet {
    fn wakers() -> &'static Wakers {
        &TABLE
    }
}

/// One test, because the table is one.
#[test]
fn rings_are_kept_until_they_are_delivered() {
    let waiting = |count: usize| {
        assert_eq!(
            format!("{TABLE:?}"),
            format!("Wakers {{ waiting: {count}, .. }}")
        );
    };
    waiting(0);
    assert!(!TABLE.deliver(), "not rung");
    let rundown = PlainRundown::<Quiet>::new();
    rundown.acquire().expect("open");
    let ((first, first_waker), (second, second_waker)) = (counter(), counter());
    let mut one = pin!(rundown.drain().into_future());
    let mut other = pin!(rundown.drain().into_future());
    assert!(poll_with(one.as_mut(), &first_waker).is_pending());
    waiting(1);
    assert!(poll_with(one.as_mut(), &first_waker).is_pending());
    waiting(1);
    assert!(poll_with(other.as_mut(), &second_waker).is_pending());
    waiting(2);

    // SAFETY: acquired above.
    unsafe { rundown.release() };
    assert_eq!((first.calls(), second.calls()), (0, 0), "only rung so far");
    waiting(2);
    assert!(TABLE.deliver());
    assert_eq!((first.calls(), second.calls()), (1, 1));
    waiting(0);
    assert!(!TABLE.deliver(), "each ring is delivered once");
    assert_eq!(
        poll_with(one, &first_waker),
        Poll::Ready(WaitOutcome::Drained)
    );
    assert_eq!(
        poll_with(other, &second_waker),
        Poll::Ready(WaitOutcome::Drained)
    );

    // A ring that comes before the entry is no use to it: the future looks by itself.
    TABLE.ring(rundown.id());
    rundown.reinit().expect("drained");
    rundown.acquire().expect("open");
    {
        let mut late = pin!(rundown.drain().into_future());
        assert!(poll_with(late.as_mut(), &first_waker).is_pending());
        waiting(1);
        assert!(TABLE.deliver());
        assert_eq!(first.calls(), 2, "a spurious wake-up is harmless");
        assert!(poll_with(late.as_mut(), &first_waker).is_pending());
        // In the middle of the list, at its ends: whichever leaves, the others stay.
        let mut futures: Vec<_> = (0..4)
            .map(|_| Box::pin(rundown.drain().into_future()))
            .collect();
        for future in &mut futures {
            assert!(poll_with(future.as_mut(), &second_waker).is_pending());
        }
        waiting(5);
        drop(futures.remove(1));
        waiting(4);
        drop(futures.pop());
        waiting(3);
    }
    waiting(0);
    // SAFETY: acquired above.
    unsafe { rundown.release() };
    assert_eq!((first.calls(), second.calls()), (2, 1), "all have left");
    assert!(TABLE.deliver());
}
