//! Counts at the ends of their range (S7), in the cache-aware kind. To count up to there would take
//! minutes, so the tests write to the slots what so many calls would have left.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use rundown::{Misuse, Refused, Rundown, Slot, State};
use support::{Inline, misuses, on_cpu, wake_ups};

/// An object whose slots a test may write.
struct Exposed<const N: usize> {
    object: *mut Inline<N>,
}

/// Of [`CacheAwareRundown::layout`](rundown::CacheAwareRundown::layout): in bytes.
const BEFORE_THE_SLOTS: usize = 256;

const CAPACITY: i64 = Slot::CAPACITY.cast_signed();

impl<const N: usize> Exposed<N> {
    fn new() -> Self {
        let object = Box::into_raw(Box::new(Inline::new()));
        Self { object }
    }

    fn get(&self) -> &Inline<N> {
        // SAFETY: alive until `drop`.
        unsafe { &*self.object }
    }

    /// As if so many had been taken on this CPU, or released if negative.
    fn pretend(&self, cpu: usize, taken: i64) {
        let before = self.count(cpu);
        // SAFETY: inside the object, as `layout` documents it.
        let slot = unsafe {
            self.object
                .byte_add(BEFORE_THE_SLOTS + cpu * size_of::<Slot>())
        };
        // SAFETY: a slot starts with its count, which is only ever used by atomic operations.
        let count = unsafe { AtomicU64::from_ptr(slot.cast()) };
        // Relaxed: one thread.
        count.fetch_add(taken.cast_unsigned(), Ordering::Relaxed);
        assert_eq!(self.count(cpu), before + taken, "not what the slot counts");
    }

    fn count(&self, cpu: usize) -> i64 {
        self.get().racy_counts().nth(cpu).expect("a slot per CPU")
    }
}

impl<const N: usize> Drop for Exposed<N> {
    fn drop(&mut self) {
        // SAFETY: from a box, and nobody uses it any more.
        drop(unsafe { Box::from_raw(self.object) });
    }
}

#[test]
fn a_full_slot_refuses_and_still_drains() {
    let exposed = Exposed::<2>::new();
    let object = exposed.get();
    on_cpu(0);
    exposed.pretend(0, CAPACITY - 1);
    object.acquire().expect("there is room for one");
    for n in [1, 2, u32::MAX] {
        assert_eq!(object.acquire_many(n), Err(Refused::Full));
        assert_eq!(exposed.count(0), CAPACITY, "a refusal left a trace");
    }
    on_cpu(1);
    let guard = object.try_acquire().expect("another CPU has room");
    exposed.pretend(0, 1 - CAPACITY);
    object.close();
    assert_eq!((object.state(), object.racy_held()), (State::Draining, 2));
    drop(guard);
    // SAFETY: acquired above.
    unsafe { object.release() };
    assert_eq!(object.state(), State::Drained);
}

#[test]
fn a_slot_that_falls_out_of_its_range_is_found() {
    let exposed = Exposed::<1>::new();
    let object = exposed.get();
    object.acquire_many(2).expect("open");
    exposed.pretend(0, -2 - (CAPACITY - 1));
    let release = || {
        // SAFETY: acquired above, two in all.
        misuses(|| unsafe { object.release() })
    };
    assert_eq!(release(), [], "the last one that it can count");
    let id = object.id();
    assert_eq!(release(), [Misuse::OutOfRange { object: id }]);
}

#[test]
fn the_greatest_sum_is_counted() {
    let exposed = Exposed::<2>::new();
    let object = exposed.get();
    exposed.pretend(0, CAPACITY);
    exposed.pretend(1, CAPACITY);
    let found = misuses(|| {
        object.close();
    });
    assert_eq!(found, []);
    assert_eq!(object.racy_held(), 2 * CAPACITY);
    assert!(!object.is_drained());

    let exposed = Exposed::<2>::new();
    let object = exposed.get();
    exposed.pretend(0, -CAPACITY);
    exposed.pretend(1, -CAPACITY);
    let found = misuses(|| {
        object.close();
    });
    let over = Misuse::OverRelease {
        object: object.id(),
        held: 0,
        released: 2 * Slot::CAPACITY,
    };
    assert_eq!(found, [over]);
    assert_eq!(object.state(), State::Drained);
}

#[test]
fn a_sum_beyond_the_central_count_is_found() {
    let exposed = Exposed::<3>::new();
    let object = exposed.get();
    for cpu in 0..3 {
        exposed.pretend(cpu, CAPACITY);
    }
    let found = misuses(|| {
        object.close();
    });
    let id = object.id();
    assert_eq!(found, [Misuse::OutOfRange { object: id }]);
    assert_eq!(object.state(), State::Closing, "nothing else is safe");
    assert!(object.try_acquire().is_none());
}

/// Both are told, each once: the waiters that it is over, the platform that it was too much.
#[test]
fn an_over_release_that_ends_the_drain_wakes() {
    let object = Inline::<1>::new();
    object.acquire().expect("open");
    object.close();
    let mut woken = Vec::new();
    let found = misuses(|| {
        woken = wake_ups(|| {
            // SAFETY: one too many: this is the misuse. The object guards nothing.
            unsafe { object.release_many(2) };
        });
    });
    assert_eq!((woken, found.len()), (vec![object.id()], 1));
}
