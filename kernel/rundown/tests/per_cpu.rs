//! The per-CPU variant alone: counters, capacity (S7), and closing many objects with one barrier.
#![cfg(not(rundown_loom))]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use rundown::{Misuse, PerCpuRundown, Refused, State};
use support::wayward::{BARRIER_PANICS, BARRIERS, CPU, CPUS, Wayward, misuses, pretend};

type Object = PerCpuRundown<Wayward>;

/// Of each CPU.
const CAPACITY: i64 = (1 << 59) / CPUS as i64;

fn object() -> Object {
    Object::new().expect("a counter is free")
}

/// Takes `n` protections on this CPU.
fn acquire(object: &Object, cpu: usize, n: u32) {
    CPU.set(cpu);
    object.acquire_many(n).expect("open");
}

/// Gives `n` back on this CPU; more than are held only where misuse is the point.
fn release(object: &Object, cpu: usize, n: u32) {
    CPU.set(cpu);
    // SAFETY: as above; the object guards nothing.
    unsafe { object.release_many(n) };
}

fn counts(object: &Object) -> Vec<i64> {
    object.racy_counts().collect()
}

#[test]
fn counts_of_all_cpus_add_up() {
    let object = object();
    for cpu in 0..CPUS {
        acquire(&object, cpu, 3);
        release(&object, (cpu + 1) % CPUS, 2);
    }
    release(&object, 3, 3);
    assert_eq!(counts(&object), [1, 1, 1, -2]);
    assert_eq!(object.racy_held(), 1);
    object.close();
    assert_eq!((object.state(), object.racy_held()), (State::Draining, 1));
    assert_eq!(object.acquire(), Err(Refused::Closed));
    release(&object, 2, 1);
    assert_eq!((object.state(), object.racy_held()), (State::Drained, 0));
    assert_eq!(misuses(), []);
}

#[test]
fn a_full_counter_refuses() {
    let object = object();
    pretend(1, CAPACITY - 2);
    acquire(&object, 1, 2);
    for n in [2, u32::MAX] {
        assert_eq!(object.acquire_many(n), Err(Refused::Full));
        assert_eq!(counts(&object)[1], CAPACITY, "a refusal left a trace");
    }
    acquire(&object, 0, 2);
    pretend(1, -1);
    CPU.set(1);
    assert_eq!(object.acquire_many(2), Err(Refused::Full));
    pretend(1, 1 - CAPACITY);
    acquire(&object, 1, 2);
    pretend(1, CAPACITY);
    object.close();
    assert_eq!(object.acquire_many(2), Err(Refused::Closed));
    assert_eq!(misuses(), []);
}

#[test]
fn a_counter_that_falls_out_of_its_range_is_found() {
    let object = object();
    // All that may be held, and as much again that a cancel has carried over.
    let most = 2 << 60;
    acquire(&object, 0, 6);
    pretend(1, 2 - most);
    release(&object, 1, 2);
    assert_eq!(misuses(), [], "the last ones that it can count");
    release(&object, 1, 2);
    let id = object.id();
    assert_eq!(misuses(), [Misuse::OutOfRange { object: id }]);
    assert_eq!(counts(&object)[1], -most, "the call is ignored");
}

#[test]
fn a_late_release_needs_no_room() {
    let object = object();
    acquire(&object, 0, 2);
    // As few as a counter may count.
    let most = 2 << 60;
    pretend(0, most);
    pretend(1, -most);
    object.close();
    release(&object, 1, 2);
    assert_eq!(object.state(), State::Drained);
    assert_eq!(misuses(), []);
}

#[test]
fn closing_costs_one_barrier_and_nothing_else_costs_any() {
    let objects = [(); 3].map(|()| object());
    for (cpu, object) in objects.iter().enumerate() {
        acquire(object, cpu, 2);
        release(object, 3, 1);
    }
    assert_eq!(BARRIERS.get(), 0);
    let [one, ..] = &objects;
    one.close();
    assert_eq!(BARRIERS.get(), 1);
    one.close();
    release(one, 3, 1);
    one.complete().expect("drained");
    one.reinit().expect("run down");
    assert_eq!(BARRIERS.get(), 1);
    // A batch, too, and one that has an object twice.
    let close_all =
        |objects: &mut [&Object]| PerCpuRundown::close_all(objects).expect("legal here");
    let [one, two, three] = &objects;
    assert_eq!(close_all(&mut [three, one, two, three]), 3);
    assert_eq!(BARRIERS.get(), 2);
    assert_eq!(objects.each_ref().map(|it| it.racy_held()), [0, 1, 1]);
    assert_eq!(close_all(&mut objects.each_ref()), 0);
    assert_eq!(close_all(&mut []), 0);
    assert_eq!(BARRIERS.get(), 2, "nothing was open");
    for object in &objects[1..] {
        assert_eq!(object.state(), State::Draining);
        release(object, 3, 1);
    }
    assert_eq!(objects.each_ref().map(|it| it.state()), [State::Drained; 3]);
    assert_eq!(misuses(), []);
}

/// A call whose barrier panicked leaves the object closing. A later call closes nothing itself, so
/// it makes no barrier, and must not count what is held.
#[test]
fn a_batch_after_a_barrier_that_panicked_leaves_the_object_closing() {
    let object = object();
    for round in 0..2 {
        BARRIER_PANICS.set(round == 0);
        let closing = AssertUnwindSafe(|| PerCpuRundown::close_all(&mut [&object]));
        assert_eq!(catch_unwind(closing).is_err(), round == 0);
        assert_eq!(object.state(), State::Closing);
    }
}
