//! What other callers see while one has the object claimed (S8). A claim is short, and models cover the
//! races; but here a platform is called in the middle of one: it hears of misuse, and looks at the object.
#![cfg(not(rundown_loom))]

use std::cell::{Cell, RefCell};
use std::sync::{Barrier, LazyLock, Mutex};
use std::thread::{self, JoinHandle};

use rundown::{
    CacheAwareRundown, CloseOutcome, Misuse, ObjectId, Platform, Rundown, Slot, State, Wait,
    WaitOutcome, Waiting, WrongState,
};

type Looker = Box<dyn FnMut(&Misuse)>;

thread_local! {
    static LOOKER: RefCell<Option<Looker>> = const { RefCell::new(None) };
    /// Whether this thread is in a waiter's `ready`.
    static IN_READY: Cell<bool> = const { Cell::new(false) };
    static WAITER: Cell<Option<&'static Mutex<Option<JoinHandle<WaitOutcome>>>>> =
        const { Cell::new(None) };
}

/// One CPU; tells the test of misuse.
struct Told;

impl Platform for Told {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {
        assert!(!IN_READY.get(), "a wake-up in `ready`");
    }

    fn misuse(what: &Misuse) {
        let mut looker = LOOKER.take().expect("no misuse but in `opening`");
        looker(what);
        LOOKER.set(Some(looker));
    }
}

type Object = CacheAwareRundown<Told, [Slot; 2]>;

/// Opens an object that was released too often before, and calls `look` while that is found. Returns how
/// often that was.
fn opening(object: &'static Object, too_many: u32, look: fn(&Object, &Misuse)) -> usize {
    // SAFETY: too many: this is the misuse. The object guards nothing.
    unsafe { object.release_many(too_many) };
    let told = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = told.clone();
    LOOKER.set(Some(Box::new(move |misuse| {
        count.set(count.get() + 1);
        look(object, misuse);
    })));
    object.open().expect("born closed");
    LOOKER.set(None);
    told.get()
}

#[test]
fn a_single_stray_release_is_found() {
    static OBJECT: Object = Object::new().born_closed();
    let told = opening(&OBJECT, 1, |object, misuse| {
        let expected = Misuse::OverRelease {
            object: object.id(),
            held: 0,
            released: 1,
        };
        assert_eq!(*misuse, expected);
    });
    assert_eq!(told, 1);
    assert_eq!((OBJECT.state(), OBJECT.racy_held()), (State::Open, 0));
}

#[test]
fn a_claimed_object_is_neither_open_nor_drained() {
    static OBJECT: Object = Object::new().born_closed();
    let told = opening(&OBJECT, 3, |object, _| {
        let found = State::Claimed;
        let wrong = Err(WrongState { found });
        assert_eq!(object.state(), found);
        assert!(!object.is_drained(), "it is about to open");
        assert!(object.try_acquire().is_none(), "it is not open yet");
        assert_eq!(object.close(), CloseOutcome::Superseded);
        assert_eq!(object.open(), wrong);
        assert_eq!(object.reinit(), wrong);
        assert_eq!(object.complete(), wrong);
        assert_eq!(object.cancel(), wrong);
        let outstanding = object.try_wait().expect_err("it is about to open");
        assert_eq!(outstanding.state, found);
        assert_eq!(object.drain().poll(), None);
    });
    assert_eq!(told, 1);
    assert_eq!(OBJECT.state(), State::Open, "none of that changed anything");
    assert!(OBJECT.try_acquire().is_some());
}

/// Its wait comes after the claim: it closes what the claim has opened.
#[test]
fn a_wait_that_begins_during_a_claim_closes_the_new_life() {
    static OBJECT: Object = Object::new().born_closed();
    thread_local! {
        static DRAIN: RefCell<Option<rundown::Drain<'static, Object>>> = const { RefCell::new(None) };
    }
    opening(&OBJECT, 1, |_, _| {
        let mut drain = OBJECT.drain();
        assert_eq!(drain.poll(), None);
        DRAIN.set(Some(drain));
    });
    let guard = OBJECT.try_acquire().expect("open");
    let mut drain = DRAIN.take().expect("begun");
    assert_eq!(drain.poll(), None);
    assert_eq!(OBJECT.state(), State::Draining);
    drop(guard);
    assert_eq!(drain.poll(), Some(WaitOutcome::Drained));
}

/// A policy may hold a lock while it asks `ready`, the lock that `wake_waiters` takes. So a wait that began
/// during a claim, and is to close the object when that is over, must not close it in `ready`.
#[test]
fn ready_never_wakes() {
    static OBJECT: Object = Object::new().born_closed();
    static IN_POLICY: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));
    static OPENED: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));

    struct Locked;

    impl Wait for Locked {
        fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
            if !PASSED.replace(true) {
                IN_POLICY.wait();
                OPENED.wait();
            }
            IN_READY.set(true);
            assert!(ready(), "the claim is over");
            IN_READY.set(false);
        }
    }

    thread_local! {
        static PASSED: Cell<bool> = const { Cell::new(false) };
    }

    let waiter = Mutex::new(None);
    let waiter: &'static Mutex<Option<JoinHandle<WaitOutcome>>> = Box::leak(Box::new(waiter));
    WAITER.set(Some(waiter));
    let told = opening(&OBJECT, 1, |_, _| {
        let waiter = WAITER.take().expect("set above");
        *waiter.lock().expect("nobody panics") = Some(thread::spawn(|| OBJECT.wait(&Locked)));
        IN_POLICY.wait();
    });
    assert_eq!(told, 1);
    OPENED.wait();
    let waiter = waiter.lock().expect("nobody panics").take();
    let outcome = waiter.expect("spawned during the claim").join();
    assert_eq!(
        outcome.expect("no wake-up in `ready`"),
        WaitOutcome::Drained
    );
}
