//! Models: waiters that are futures. A lost wake-up leaves `block_on` asleep: loom reports it.
#![cfg(rundown_loom)]

mod models;

use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use models::{LoomPlatform, Traits, models, release, spawn};
use rundown::{AsyncPlatform, ObjectId, Rundown, Variant, WaitOutcome, Wakers};

loom::lazy_static! {
    static ref WAKERS: Wakers = Wakers::new();
    static ref RUNG: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
}

/// Calls the wakers right where it wakes.
struct AtOnce;

impl Traits for AtOnce {
    fn wake(object: ObjectId) {
        WAKERS.wake(object);
    }
}

/// Only rings; the executor's thread delivers, as if the last release were in a handler.
struct Later;

impl Traits for Later {
    fn wake(object: ObjectId) {
        WAKERS.ring(object);
        *RUNG.0.lock().unwrap() = true;
        RUNG.1.notify_one();
    }
}

/// Only rings, too, and makes no noise that would order anything.
struct Silent;

impl Traits for Silent {
    fn wake(object: ObjectId) {
        WAKERS.ring(object);
    }
}

impl<T: Traits> AsyncPlatform for LoomPlatform<T> {
    fn wakers() -> &'static Wakers {
        &WAKERS
    }
}

/// A variant, as a model needs it.
trait Make: models::Make + Variant<Platform: AsyncPlatform> {}
impl<R: models::Make + Variant<Platform: AsyncPlatform>> Make for R {}

macro_rules! at_once {
    ($variant:ident, $type:ty, $bound:literal) => {
        models!(@variant $variant, $type, no_wake_up_is_lost, dropped_while_it_is_woken,
            the_last_waker_counts, two_futures_are_woken bound: $bound);
    };
}

at_once!(plain, crate::models::Plain<crate::AtOnce>, 3);
at_once!(slots_1, crate::models::Slots<1, crate::AtOnce>, 3);
at_once!(per_cpu, crate::models::Counters<crate::AtOnce>, 2);
models!(@variant plain_rung, crate::models::Plain<crate::Later>, a_ring_is_delivered);
models!(@variant slots_1_rung, crate::models::Slots<1, crate::Later>, a_ring_is_delivered);
models!(@variant plain_silent, crate::models::Plain<crate::Silent>, a_ring_is_delivered_by_another_thread);

/// A thread that sleeps until its waker is called.
struct Sleeper {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl Sleeper {
    fn new() -> StdArc<Self> {
        StdArc::new(Self { woken: Mutex::new(false), bell: Condvar::new() })
    }

    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.bell.wait(woken).unwrap();
        }
        *woken = false;
    }
}

impl Wake for Sleeper {
    fn wake(self: StdArc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.bell.notify_one();
    }
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let sleeper = Sleeper::new();
    let waker = Waker::from(StdArc::clone(&sleeper));
    let mut future = pin!(future);
    loop {
        match poll_with(future.as_mut(), &waker) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => sleeper.sleep(),
        }
    }
}

/// A rundown that this thread holds, and another thread that will release it.
fn held<R: Make>() -> (Arc<Rundown<R>>, thread::JoinHandle<()>) {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    let user = spawn(&rundown, release);
    (rundown, user)
}

fn none_waits() {
    assert_eq!(format!("{:?}", *WAKERS), "Wakers { waiting: 0, .. }");
}

/// The last release may come before the look, between it and the entry in the list, or after.
fn no_wake_up_is_lost<R: Make>() {
    let (rundown, user) = held::<R>();
    let outcome = block_on(rundown.drain().into_future());
    assert_eq!(outcome, WaitOutcome::Drained);
    user.join().unwrap();
    none_waits();
}

/// The entry lives in the future: a thread that wakes it must not touch it once it is unlisted.
fn dropped_while_it_is_woken<R: Make>() {
    let (rundown, user) = held::<R>();
    let sleeper = Sleeper::new();
    let waker = Waker::from(StdArc::clone(&sleeper));
    {
        let mut future = pin!(rundown.drain().into_future());
        let _ = poll_with(future.as_mut(), &waker);
    }
    none_waits();
    user.join().unwrap();
    drop(waker);
    assert_eq!(StdArc::strong_count(&sleeper), 1, "a waker was kept");
}

/// A future that moved to another task: if that one's poll finds it pending, that one is woken.
fn the_last_waker_counts<R: Make>() {
    let (rundown, user) = held::<R>();
    let [first, second] = [Sleeper::new(), Sleeper::new()];
    let mut future = pin!(rundown.drain().into_future());
    let _ = poll_with(future.as_mut(), &Waker::from(first));
    let waker = Waker::from(StdArc::clone(&second));
    while poll_with(future.as_mut(), &waker).is_pending() {
        second.sleep();
    }
    user.join().unwrap();
}

fn two_futures_are_woken<R: Make>() {
    let (rundown, user) = held::<R>();
    let other = spawn(&rundown, |rundown| block_on(rundown.drain().into_future()));
    let outcome = block_on(rundown.drain().into_future());
    assert_eq!(outcome, WaitOutcome::Drained);
    assert_eq!(other.join().unwrap(), WaitOutcome::Drained);
    user.join().unwrap();
    none_waits();
}

/// The releaser only rings. This thread is the executor: it delivers, polls if it was woken, and
/// sleeps until the next ring.
fn a_ring_is_delivered<R: Make>() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: StdArc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (rundown, user) = held::<R>();
    let woken = StdArc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(StdArc::clone(&woken));
    let mut future = pin!(rundown.drain().into_future());
    loop {
        WAKERS.deliver();
        if woken.0.swap(false, Ordering::Relaxed) {
            if let Poll::Ready(outcome) = poll_with(future.as_mut(), &waker) {
                assert_eq!(outcome, WaitOutcome::Drained);
                break;
            }
            continue;
        }
        let mut rung = RUNG.0.lock().unwrap();
        while !*rung {
            rung = RUNG.1.wait(rung).unwrap();
        }
        *rung = false;
    }
    user.join().unwrap();
}

/// The thread that delivers is not the one that polls: if it has delivered a ring, what came before
/// the ring is visible to a poll that comes after.
fn a_ring_is_delivered_by_another_thread<R: Make>() {
    let (rundown, user) = held::<R>();
    rundown.close();
    let executor = thread::spawn(|| WAKERS.deliver());
    let delivered = executor.join().unwrap();
    let mut drain = rundown.drain();
    if delivered {
        assert_eq!(drain.poll(), Some(WaitOutcome::Drained));
    }
    user.join().unwrap();
    assert_eq!(drain.poll(), Some(WaitOutcome::Drained));
}
