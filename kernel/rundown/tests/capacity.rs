//! Counts at the ends of their range (S7), in the cache-aware variant. Counting that far would take
//! minutes, so the tests write to the slots the counts that calls would have left.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use rundown::{Completion, Misuse, Refused, Rundown, Slot, State, WrongState};
use support::{Inline, misuses, next_hints, on_cpu};

/// An object whose slots a test may write.
struct Exposed<const N: usize> {
    object: *mut Rundown<Inline<N>>,
}

/// Of [`CacheAwareRundown::layout`](rundown::CacheAwareRundown::layout): in bytes.
const BEFORE_THE_SLOTS: usize = 128;

/// The most that a close finds in order, either way: twice what may be held, since the acquire that
/// fills a slot goes beyond, and so do those that are refused meanwhile.
const LIMIT: i64 = 1 << 60;

impl<const N: usize> Exposed<N> {
    /// As if `taken` had been acquired on each CPU.
    fn with(taken: [i64; N]) -> Self {
        let object = Box::into_raw(Box::new(Rundown::<Inline<_>>::new()));
        let exposed = Self { object };
        for (cpu, taken) in taken.into_iter().enumerate() {
            exposed.pretend(cpu, taken);
        }
        exposed
    }

    fn get(&self) -> &Rundown<Inline<N>> {
        // SAFETY: alive until `drop`.
        unsafe { &*self.object }
    }

    /// As if `taken` had been acquired on this CPU, or released if negative.
    fn pretend(&self, cpu: usize, taken: i64) {
        let before = self.count(cpu);
        // SAFETY: inside the object, as `layout` documents it.
        let slot = unsafe { self.object.byte_add(BEFORE_THE_SLOTS + cpu * size_of::<Slot>()) };
        // SAFETY: a slot starts with its count, which is only ever used by atomic operations.
        let count = unsafe { AtomicU64::from_ptr(slot.cast()) };
        // Relaxed: one thread.
        count.fetch_add(taken.cast_unsigned(), Ordering::Relaxed);
        assert_eq!(self.count(cpu), before + taken, "not what the slot counts");
    }

    fn capacity(&self) -> i64 {
        self.get().capacity().cast_signed()
    }

    /// Where the object stands.
    fn is(&self, state: State, held: i64) {
        assert_eq!((self.get().state(), self.get().racy_held()), (state, held));
    }

    fn count(&self, cpu: usize) -> i64 {
        self.get().racy_counts().nth(cpu).expect("a slot per CPU")
    }
}

impl<const N: usize> Drop for Exposed<N> {
    fn drop(&mut self) {
        // SAFETY: from a box, and nothing uses it any more.
        drop(unsafe { Box::from_raw(self.object) });
    }
}

/// Acquires and a holder's clones (S12).
#[test]
fn a_full_slot_refuses_and_still_drains() {
    let exposed = Exposed::<2>::with([0; 2]);
    let (object, capacity) = (exposed.get(), exposed.capacity());
    // Half of what a close finds in order.
    assert_eq!(2 * capacity, LIMIT / 2);
    on_cpu(0);
    exposed.pretend(0, capacity - 1);
    let guard = object.try_acquire().expect("there is room for one");
    for n in [1, 2, u32::MAX] {
        assert_eq!(object.acquire_many(n), Err(Refused::Full));
        // SAFETY: the guard holds protection.
        assert_eq!(unsafe { object.acquire_held_many(n) }, Err(Refused::Full));
        assert_eq!(guard.try_clone().map(drop), Err(Refused::Full));
        assert_eq!(exposed.count(0), capacity, "a refusal left a trace");
    }
    on_cpu(1);
    let others = [object.try_acquire().expect("another CPU has room"), guard.clone()];
    exposed.pretend(0, 1 - capacity);
    object.close();
    exposed.is(State::Draining, 3);
    drop((guard, others));
    exposed.is(State::Drained, 0);
}

/// A refused acquire gives back on the slot that it took from, whatever the hint is by then. Else
/// the full slot would keep the refused count, and 2^30 such calls would reach the closed mark.
#[test]
fn a_refusal_does_not_ask_for_the_slot_twice() {
    let exposed = Exposed::<2>::with([0; 2]);
    let object = exposed.get();
    exposed.pretend(0, exposed.capacity());
    for n in [1, 7, u32::MAX] {
        // The acquire goes to the full slot, and whatever asks next to the other one.
        next_hints(&[0, 1]);
        assert_eq!(object.acquire_many(n), Err(Refused::Full));
        assert_eq!((exposed.count(0), exposed.count(1)), (exposed.capacity(), 0));
    }
}

#[test]
fn a_slot_that_falls_out_of_its_range_is_found() {
    let exposed = Exposed::<1>::with([0; 1]);
    let object = exposed.get();
    object.acquire_many(2).expect("open");
    // An open slot starts so far from zero.
    let range = (1 << 62) - exposed.capacity();
    exposed.pretend(0, -2 - (range - 1));
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
    let close_with = |slots| {
        let exposed = Exposed::<2>::with(slots);
        let found = misuses(|| _ = exposed.get().close());
        (exposed, found)
    };
    let (exposed, found) = close_with([LIMIT / 2; 2]);
    assert_eq!(found, []);
    exposed.is(State::Draining, LIMIT);

    let (exposed, found) = close_with([-LIMIT / 2; 2]);
    let (object, released) = (exposed.get().id(), LIMIT.cast_unsigned());
    assert_eq!(found, [Misuse::OverRelease { object, held: 0, released }]);
    exposed.is(State::Drained, 0);

    let (exposed, found) = close_with([LIMIT, 1]);
    let object = exposed.get();
    assert_eq!(found, [Misuse::OutOfRange { object: object.id() }]);
    assert_eq!(object.state(), State::Closing, "nothing else is safe");
    assert!(object.try_acquire().is_none());
}

/// The acquire that fills a slot goes beyond its capacity, by almost 2^32 at the most.
#[test]
fn slots_that_are_more_than_full_close_and_drain() {
    let capacity = Exposed::<2>::with([0; 2]).capacity();
    let exposed = Exposed::<2>::with([capacity - 1; 2]);
    let object = exposed.get();
    for cpu in 0..2 {
        on_cpu(cpu);
        object.acquire_many(u32::MAX).expect("there is room for one");
        assert_eq!(object.acquire(), Err(Refused::Full));
    }
    let found = misuses(|| _ = object.close());
    assert_eq!((found, object.state()), (vec![], State::Draining));
}

/// An object that drains, or is about to, with so much held that it cannot count one more: 2^61.
/// The count that a cancel carries over is added at the next close to the slots' counts then.
fn held_to_the_brim() -> Exposed<2> {
    let exposed = Exposed::<2>::with([LIMIT / 2; 2]);
    exposed.get().close();
    exposed.get().cancel().expect("no more than can be carried over");
    exposed.pretend(0, LIMIT / 2);
    exposed.pretend(1, LIMIT / 2);
    exposed
}

#[test]
fn a_full_shared_count_refuses_a_clone() {
    let (exposed, held) = (held_to_the_brim(), 2 * LIMIT);
    let object = exposed.get();
    object.close();
    exposed.is(State::Draining, held);
    // More than 2^60 are not carried over.
    assert_eq!(object.cancel(), Err(WrongState { found: State::Draining }));
    for n in [1, 2, u32::MAX] {
        // SAFETY: as if that many were held.
        assert_eq!(unsafe { object.acquire_held_many(n) }, Err(Refused::Full));
        exposed.is(State::Draining, held);
    }
    // SAFETY: as if that many were held.
    unsafe { object.release_many(3) };
    // SAFETY: as if that many were held.
    let taken = [2, 2, 1].map(|n| unsafe { object.acquire_held_many(n) });
    assert_eq!(taken, [Ok(()), Err(Refused::Full), Ok(())]);
    exposed.is(State::Draining, held);
}

/// The two ranges of a count, with and without completion, adjoin: full must not read as drained.
#[test]
fn a_full_shared_count_takes_a_completion() {
    static NEVER: Completion = Completion::of(|| panic!("it is held"));
    for closed_before in [false, true] {
        let exposed = held_to_the_brim();
        let object = exposed.get();
        if closed_before {
            object.close();
        }
        assert_eq!(object.close_then(&NEVER), Ok(()));
        exposed.is(State::Draining, 2 * LIMIT);
        // SAFETY: as if that many were held.
        assert_eq!(unsafe { object.acquire_held() }, Err(Refused::Full));
        // SAFETY: as if that many were held.
        unsafe { object.release_many(2) };
        exposed.is(State::Draining, 2 * LIMIT - 2);
        // SAFETY: as if that many were held.
        assert_eq!(unsafe { object.acquire_held_many(2) }, Ok(()));
        exposed.is(State::Draining, 2 * LIMIT);
    }
}
