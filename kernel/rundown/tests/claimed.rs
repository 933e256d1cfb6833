//! What other callers see while one has the object claimed (S8). A claim is short, and models cover the
//! races; but here the platform is called in the middle of one, to clear a counter, and looks at the object.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::sync::{Barrier, mpsc};
use std::thread;

use rundown::{
    CloseOutcome, CloseThenError, Completion, PerCpuRundown, State, Wait, WaitOutcome, Waiting,
    WrongState,
};
use support::wayward::{IN_READY, LOOKER, Wayward};

type Object = PerCpuRundown<Wayward>;

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

/// A policy may hold a lock while it asks `ready`, the lock that `wake_waiters` takes. So a wait that began
/// during a claim, and is to close the object when that is over, must not close it in `ready`.
#[test]
fn ready_never_wakes() {
    static OBJECT: Object = Object::lazy();
    static IN_POLICY: Barrier = Barrier::new(2);
    static OPENED: Barrier = Barrier::new(2);

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

    let (give, waiter) = mpsc::channel();
    opening(&OBJECT, move |_| {
        let waiter = thread::spawn(|| OBJECT.wait(&Locked));
        IN_POLICY.wait();
        give.send(waiter).expect("it is received below");
    });
    OPENED.wait();
    let outcome = waiter.recv().expect("spawned during the claim").join();
    assert_eq!(
        outcome.expect("no wake-up in `ready`"),
        WaitOutcome::Drained
    );
}
