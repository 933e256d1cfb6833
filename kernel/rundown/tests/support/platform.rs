//! Threads, with a CPU hint that the test sets and a record of what the platform was asked to do.

use std::cell::{Cell, RefCell};

use rundown::{AsyncPlatform, Clock, HostPlatform, Misuse, ObjectId, Platform, Wakers};

use super::host_counters::counters_of_the_host;

/// The host's platform, except that the hint is the test's, and misuse does not panic while a test
/// [collects](misuses) it.
pub(crate) struct TestPlatform;

thread_local! {
    static HINT: Cell<Option<usize>> = const { Cell::new(None) };
    static NEXT_HINTS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static MISUSES: RefCell<Option<Vec<Misuse>>> = const { RefCell::new(None) };
    static WAKE_UPS: RefCell<Vec<ObjectId>> = const { RefCell::new(Vec::new()) };
}

impl Platform for TestPlatform {
    fn cpu_hint() -> usize {
        let next = NEXT_HINTS.with_borrow_mut(Vec::pop);
        next.or(HINT.get()).unwrap_or_else(HostPlatform::cpu_hint)
    }

    fn wake_waiters(object: ObjectId) {
        WAKE_UPS.with_borrow_mut(|woken| woken.push(object));
        HostPlatform::wake_waiters(object);
    }

    fn misuse(what: &Misuse) {
        let collected = MISUSES.with_borrow_mut(|misuses| match misuses {
            Some(misuses) => {
                misuses.push(*what);
                true
            }
            None => false,
        });
        if !collected {
            HostPlatform::misuse(what);
        }
    }
}

impl Clock for TestPlatform {
    fn now() -> u64 {
        HostPlatform::now()
    }
}

impl AsyncPlatform for TestPlatform {
    fn wakers() -> &'static Wakers {
        HostPlatform::wakers()
    }
}

counters_of_the_host!(TestPlatform);

/// Pretends that the calling thread runs on the CPU with this index from now on.
pub(crate) fn on_cpu(index: usize) {
    HINT.set(Some(index));
}

/// The hints that the calling thread is given next, one after the other.
pub(crate) fn next_hints(hints: &[usize]) {
    NEXT_HINTS.set(hints.iter().rev().copied().collect());
}

/// The misuse that `call` is found out in, on this thread.
pub(crate) fn misuses(call: impl FnOnce()) -> Vec<Misuse> {
    MISUSES.set(Some(Vec::new()));
    call();
    MISUSES.take().expect("not nested")
}

/// Whose waiters `call` wakes, on this thread.
pub(crate) fn wake_ups(call: impl FnOnce()) -> Vec<ObjectId> {
    WAKE_UPS.take();
    call();
    WAKE_UPS.take()
}
