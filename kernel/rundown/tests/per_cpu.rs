//! The per-CPU variant alone: counters, capacity (S7), and closing many objects with one barrier. On a
//! platform whose CPUs are numbers, so that a test says what was counted where, on any system.
#![cfg(not(rundown_loom))]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rundown::{
    CounterId, Misuse, ObjectId, PerCpuGate, PerCpuPlatform, PerCpuRundown, Platform, Refused,
    State, Unavailable,
};

const CPUS: usize = 4;
const COUNTERS: usize = 3;
/// Of each CPU, which are four at most.
const CAPACITY: i64 = (1 << 59) / 4;

/// Each thread is a system of its own, whose CPUs it plays in turn: nothing comes between a read of
/// the state word and the add.
struct Alone;

type Object = PerCpuRundown<Alone>;

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
    static COUNTS: RefCell<[[i64; CPUS]; COUNTERS]> = const { RefCell::new([[0; CPUS]; COUNTERS]) };
    static IN_USE: Cell<[bool; COUNTERS]> = const { Cell::new([false; COUNTERS]) };
    static BARRIERS: Cell<usize> = const { Cell::new(0) };
    static MISUSES: RefCell<Vec<Misuse>> = const { RefCell::new(Vec::new()) };
    static BARRIER_PANICS: Cell<bool> = const { Cell::new(false) };
}

impl Platform for Alone {
    fn cpu_hint() -> usize {
        CPU.get()
    }

    fn wake_waiters(_: ObjectId) {}

    fn misuse(what: &Misuse) {
        MISUSES.with_borrow_mut(|misuses| misuses.push(*what));
    }
}

/// Applies `change` to what `cpu` has counted, and gives the result.
fn count(counter: CounterId, cpu: usize, change: impl FnOnce(i64) -> i64) -> i64 {
    COUNTS.with_borrow_mut(|counts| {
        let count = &mut counts[counter.get()][cpu];
        *count = change(*count);
        *count
    })
}

// SAFETY: the counters are the thread's own, as are the objects: no test sends one to another. So
// nothing interrupts a sequence, and there is nothing for a barrier to do.
unsafe impl PerCpuPlatform for Alone {
    fn allocate() -> Result<CounterId, Unavailable> {
        let mut in_use = IN_USE.get();
        let free = in_use.iter().position(|&used| !used);
        let free = free.ok_or(Unavailable::Exhausted(COUNTERS))?;
        in_use[free] = true;
        IN_USE.set(in_use);
        COUNTS.with_borrow_mut(|counts| counts[free] = [0; CPUS]);
        Ok(CounterId::new(free))
    }

    unsafe fn free(counter: CounterId) {
        let mut in_use = IN_USE.get();
        assert!(in_use[counter.get()], "given back twice");
        in_use[counter.get()] = false;
        IN_USE.set(in_use);
    }

    unsafe fn add_if_open(gate: &PerCpuGate, n: i64) -> bool {
        let open = gate.is_open();
        if open {
            count(gate.counter(), CPU.get(), |count| count.wrapping_add(n));
        }
        open
    }

    fn barrier() {
        assert!(!BARRIER_PANICS.get(), "a barrier that fails");
        BARRIERS.set(BARRIERS.get() + 1);
    }

    fn cpus() -> usize {
        CPUS
    }

    unsafe fn count(counter: CounterId, cpu: usize) -> i64 {
        count(counter, cpu, |count| count)
    }

    unsafe fn racy_own_count(counter: CounterId) -> i64 {
        count(counter, CPU.get(), |count| count)
    }

    unsafe fn clear(counter: CounterId, cpu: usize) {
        count(counter, cpu, |_| 0);
    }
}

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

/// As if so many had been taken on this CPU, or released if negative. Counters are handed out from
/// the lowest, so that of a test's only object is the first.
fn pretend(cpu: usize, taken: i64) {
    count(CounterId::new(0), cpu, |count| count + taken);
}

fn counts(object: &Object) -> Vec<i64> {
    object.racy_counts().collect()
}

fn misuses() -> Vec<Misuse> {
    MISUSES.take()
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
fn a_dropped_object_gives_its_counter_back() {
    for _ in 0..2 {
        let objects = [(); COUNTERS].map(|()| object());
        let none = Unavailable::Exhausted(COUNTERS);
        assert_eq!(Object::new().err(), Some(none));
        assert_eq!(Object::lazy().prepare(), Err(none));
        drop(objects);
    }
    assert_eq!(IN_USE.get(), [false; COUNTERS]);
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
fn a_sum_out_of_range_is_found() {
    let object = object();
    for cpu in 0..CPUS {
        pretend(cpu, 2 * CAPACITY);
    }
    pretend(0, 1);
    object.close();
    let id = object.id();
    assert_eq!(misuses(), [Misuse::OutOfRange { object: id }]);
    assert_eq!(object.state(), State::Closing, "nothing else is safe");
}

#[test]
fn a_close_costs_one_barrier_and_nothing_else_costs_any() {
    let object = object();
    acquire(&object, 0, 1);
    release(&object, 1, 1);
    assert_eq!(BARRIERS.get(), 0);
    object.close();
    assert_eq!(BARRIERS.get(), 1);
    object.close();
    object.complete().expect("drained");
    object.reinit().expect("run down");
    assert_eq!(BARRIERS.get(), 1);
}

#[test]
fn a_batch_costs_one_barrier() {
    let objects = [(); COUNTERS].map(|()| object());
    for (cpu, object) in objects.iter().enumerate() {
        acquire(object, cpu, 1);
    }
    PerCpuRundown::close_all(&mut objects.each_ref()).expect("legal here");
    assert_eq!(BARRIERS.get(), 1);
    for object in &objects {
        assert_eq!((object.state(), object.racy_held()), (State::Draining, 1));
    }
    PerCpuRundown::close_all(&mut objects.each_ref()).expect("legal here");
    PerCpuRundown::close_all(&mut [] as &mut [&Object]).expect("legal here");
    assert_eq!(BARRIERS.get(), 1, "nothing was open");
    for object in &objects {
        release(object, 3, 1);
        assert_eq!(object.state(), State::Drained);
    }
    objects[1].reinit().expect("drained");
    PerCpuRundown::close_all(&mut objects.each_ref()).expect("legal here");
    assert_eq!(BARRIERS.get(), 2, "one was open");
    assert_eq!(objects.each_ref().map(Object::state), [State::Drained; 3]);
}

#[test]
fn an_object_may_be_in_a_batch_twice() {
    let object = object();
    acquire(&object, 0, 1);
    PerCpuRundown::close_all(&mut [&object, &object]).expect("legal here");
    assert_eq!((object.state(), object.racy_held()), (State::Draining, 1));
    release(&object, 1, 1);
    assert_eq!(object.state(), State::Drained);
    assert_eq!(misuses(), []);
}

/// A call whose barrier panicked leaves the object closing. A later call closes nothing itself, so it makes no
/// barrier, and must not count what is held.
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
