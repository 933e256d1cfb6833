//! The requests of the per-CPU variant to its platform: for a counter, when a lazy object first
//! needs one; and whether a barrier is legal, before anything changes. And what other callers see
//! while one has the object claimed (S8): the platform is called in the middle of a claim, to clear
//! a counter, and looks at the object.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::{Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread::{self, LocalKey};

use rundown::{
    CloseOutcome, CloseThenError, Completion, IllegalContext, PerCpu, PerCpuRundown, Protected,
    RunDownError, Spin, State, Unavailable, WaitOutcome, WrongState,
};
use support::policy;
use support::wayward::{
    BARRIERS, COUNTERS, EXHAUSTED, FREED, GIVEN, ILLEGAL, IN_READY, INTERRUPT, LOOKER, Wayward,
};

type Object = PerCpuRundown<Wayward>;
type Held<T> = Protected<T, PerCpu<Wayward>>;

/// The answer of `call` while `flag` is set: where a barrier is illegal, or there are no counters.
fn under<A>(flag: &'static LocalKey<Cell<bool>>, call: impl FnOnce() -> A) -> A {
    flag.set(true);
    let answer = call();
    flag.set(false);
    answer
}

fn illegally<A>(call: impl FnOnce() -> A) -> A {
    under(&ILLEGAL, call)
}

fn without_counters<A>(call: impl FnOnce() -> A) -> A {
    under(&EXHAUSTED, call)
}

/// The result of a task that polls once.
fn polled<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_lazy_object_has_no_counter_before_it_opens() {
    let object = Object::lazy();
    assert_eq!(object.state(), State::RunDown);
    assert!(object.try_acquire().is_none());
    assert_eq!((object.racy_held(), object.racy_counts().count()), (0, 0));
    assert_eq!(object.close(), CloseOutcome::AlreadyClosed);
    assert_eq!(object.wait(&Spin), WaitOutcome::Drained);
    assert_eq!(object.complete(), Ok(()));
    assert_eq!(GIVEN.get(), 0, "nothing of that needs one");
    object.open().expect("run down");
    drop(object.try_acquire().expect("open"));
    assert_eq!(object.racy_counts().collect::<Vec<_>>(), [0; 4]);
    object.close();
    object.reinit().expect("drained");
    assert_eq!(GIVEN.get(), 1, "one for good");
    drop((object, Object::lazy()));
    assert_eq!(FREED.get(), 1, "what was never opened has none");
}

#[test]
fn without_counters_a_lazy_object_stays_run_down() {
    static OBJECT: Object = Object::lazy();
    without_counters(|| {
        let why = Unavailable::Exhausted(COUNTERS);
        assert_eq!(OBJECT.prepare(), Err(why));
        let found = State::RunDown;
        assert_eq!(OBJECT.open(), Err(WrongState { found }));
        assert_eq!(OBJECT.reinit(), Err(WrongState { found }));
        assert_eq!(OBJECT.state(), found);
        assert!(Object::new().is_err());
    });
    OBJECT.open().expect("run down");
    // It has one by now.
    without_counters(|| assert_eq!(OBJECT.prepare(), Ok(())));
    assert!(OBJECT.try_acquire().is_some());
}

/// It is opened by the calls that put one in: not without a counter.
#[test]
fn a_lazy_object_with_a_value() {
    let found = State::RunDown;
    static VACANT: Held<u32> = Protected::vacant(Object::lazy());
    let refused = without_counters(|| VACANT.publish(7).expect_err("no counters"));
    assert_eq!((refused.value, refused.reason), (7, WrongState { found }));
    VACANT.publish(8).expect("there are counters now");
    assert_eq!(VACANT.try_acquire().map(|guard| *guard), Some(8));

    static BORN: Held<u32> = Protected::new(Object::lazy(), 7);
    let refused = without_counters(|| BORN.open().expect_err("no counters"));
    assert_eq!(refused, WrongState { found });
    let refused = without_counters(|| BORN.replace(&Spin, 8).expect_err("no counters"));
    assert_eq!((refused.value, refused.reason), (8, RunDownError::NoCounter));
    assert_eq!(BORN.state(), found);
    assert_eq!(BORN.replace(&Spin, 9).expect("there are counters now"), 7);
    assert_eq!(BORN.try_acquire().map(|guard| *guard), Some(9));

    // Its value can go without ever having been in use.
    let unused = Held::new(Object::lazy(), 7);
    assert_eq!(without_counters(|| unused.run_down(&Spin)), Ok(7));
}

/// A call that is illegal changes nothing, and takes no counter.
#[test]
fn an_illegal_opening_allocates_nothing() {
    let given = GIVEN.get();
    let vacant: Held<u32> = Protected::vacant(Object::lazy());
    assert_eq!(vacant.open().map_err(|error| error.found), Err(State::RunDown));
    let refused = vacant.begin_run_down().wait(&Spin).expect("drained").replace(7);
    assert_eq!(refused.map_err(|error| error.reason), Err(RunDownError::Taken));
    assert_eq!(GIVEN.get(), given);
}

/// As in an interrupt: both are given a counter; one becomes the object's, the other is freed.
#[test]
fn two_prepare_at_once() {
    static OBJECT: Object = Object::lazy();
    INTERRUPT.set(Some(Box::new(|| OBJECT.prepare().expect("there are counters"))));
    OBJECT.prepare().expect("there are counters");
    assert_eq!((GIVEN.get(), FREED.get()), (2, 1));
    OBJECT.open().expect("run down");
    OBJECT.acquire_many(3).expect("open");
    OBJECT.close();
    assert_eq!(OBJECT.racy_held(), 3);
}

/// Every call that closes says so, and leaves the object as it was.
#[test]
fn where_a_barrier_is_illegal_nothing_closes() {
    static NEVER: Completion = Completion::of(|| panic!("this was refused"));
    let object = Object::new().expect("there are counters");
    let guard = object.try_acquire();
    let barriers = BARRIERS.get();
    illegally(|| {
        assert_eq!(object.close(), CloseOutcome::IllegalContext);
        assert_eq!(Object::close_all(&mut [&object, &object]), Err(IllegalContext));
        assert_eq!(object.close_then(&NEVER), Err(CloseThenError::IllegalContext));
        assert_eq!(object.drain().poll(), Some(WaitOutcome::IllegalContext));
        assert_eq!(object.wait(&Spin), WaitOutcome::IllegalContext);
        assert_eq!(object.wait_deadline(&Spin, 0), Ok(WaitOutcome::IllegalContext));
        assert_eq!(polled(object.drain()), Poll::Ready(WaitOutcome::IllegalContext));
        let outstanding = object.try_wait().expect_err("open");
        assert_eq!((outstanding.state, outstanding.held), (State::Open, 1));
        drop(object.try_acquire().expect("open"));
    });
    assert_eq!(BARRIERS.get(), barriers);
    // Nothing is left behind: a completion, for one.
    object.close();
    drop(guard);
    assert!(object.is_drained());
}

/// A wait that could not begin there begins when it is asked elsewhere.
#[test]
fn a_wait_from_an_illegal_context_goes_on_elsewhere() {
    let object = Object::new().expect("there are counters");
    let mut drain = illegally(|| object.drain());
    assert_eq!(object.state(), State::Open);
    let guard = object.try_acquire();
    assert_eq!(drain.poll(), None, "now it closes");
    assert_eq!(object.state(), State::Draining);
    // It remembers that it has.
    illegally(|| assert_eq!(drain.poll(), None));
    drop(guard);
    illegally(|| assert_eq!(drain.poll(), Some(WaitOutcome::Drained)));
}

#[test]
fn where_a_barrier_is_illegal_no_value_goes() {
    let object = Held::new(Object::new().expect("there are counters"), 7);
    let guard = object.try_acquire().expect("open");
    let illegal = RunDownError::IllegalContext;
    illegally(|| {
        assert_eq!(object.run_down(&Spin), Err(illegal));
        assert_eq!(object.begin_run_down().wait_deadline(&Spin, 0).err(), Some(illegal));
        assert_eq!(object.try_run_down(), Err(illegal));
        let refused = object.replace(&Spin, 8).expect_err("illegal");
        assert_eq!((refused.value, refused.reason), (8, illegal));
        for handle in [object.begin_run_down(), object.begin_run_down_of(object.generation())] {
            assert_eq!(polled(handle).map_ok(drop), Poll::Ready(Err(illegal)));
        }
        assert_eq!((object.state(), object.racy_held()), (State::Open, 1));
    });
    let text = "the per-CPU variant cannot be closed in this context: a barrier is illegal here";
    assert_eq!(illegal.to_string(), text);
    drop(guard);
    assert_eq!(object.run_down(&Spin), Ok(7));
    // Calls without a barrier are legal everywhere: publishing, taking a value that has drained.
    illegally(|| object.publish(8).expect("run down"));
    let retired = object.begin_run_down().wait(&Spin).expect("drained");
    assert_eq!(illegally(|| retired.take()), Ok(8));
}

/// Opens an object, and calls `look` while it is claimed.
fn opening(object: &'static Object, look: impl FnOnce(&Object) + 'static) {
    LOOKER.set(Some(Box::new(move || look(object))));
    object.open().expect("born closed");
    assert!(LOOKER.take().is_none(), "not claimed");
}

#[test]
fn a_claimed_object_is_neither_open_nor_drained() {
    static OBJECT: Object = Object::lazy();
    opening(&OBJECT, |object| {
        let found = State::Claimed;
        let wrong = Err(WrongState { found });
        assert_eq!(object.state(), found);
        assert!(!object.is_drained(), "it is about to open");
        assert!(object.try_acquire().is_none(), "it is not open yet");
        assert_eq!(object.close(), CloseOutcome::Superseded);
        assert_eq!(object.open().map(drop), wrong);
        assert_eq!(object.reinit().map(drop), wrong);
        assert_eq!(object.complete(), wrong);
        assert_eq!(object.cancel(), Err(WrongState { found }));
        static NEVER: Completion = Completion::of(|| panic!("this was refused"));
        let refused = CloseThenError::WrongState(WrongState { found });
        assert_eq!(object.close_then(&NEVER), Err(refused));
        let outstanding = object.try_wait().expect_err("it is about to open");
        assert_eq!(outstanding.state, found);
        assert_eq!(object.drain().poll(), None);
    });
    assert_eq!(OBJECT.state(), State::Open, "none of that changed anything");
    assert!(OBJECT.try_acquire().is_some());
}

/// A policy may hold a lock while it asks `ready`, the lock that `wake_waiters` takes. So a wait
/// that began during a claim, and will close the object after it, must not do so in `ready`.
#[test]
fn ready_never_wakes() {
    static OBJECT: Object = Object::lazy();
    static IN_POLICY: Barrier = Barrier::new(2);
    static OPENED: Barrier = Barrier::new(2);

    let (give, waiter) = mpsc::channel();
    opening(&OBJECT, move |_| {
        let waiter = thread::spawn(|| {
            let mut passed = false;
            OBJECT.wait(&policy(|_, ready| {
                if !std::mem::replace(&mut passed, true) {
                    IN_POLICY.wait();
                    OPENED.wait();
                }
                IN_READY.set(true);
                assert!(ready(), "the claim is over");
                IN_READY.set(false);
            }))
        });
        IN_POLICY.wait();
        give.send(waiter).expect("it is received below");
    });
    OPENED.wait();
    let outcome = waiter.recv().expect("spawned during the claim").join();
    assert_eq!(outcome.expect("no wake-up in `ready`"), WaitOutcome::Drained);
}
