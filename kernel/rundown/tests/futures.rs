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

use rundown::{AsyncPlatform, HostPlatform, Park, Rundown, WaitOutcome};
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
