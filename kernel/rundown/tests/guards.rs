//! Guards of a `Protected`: where they may go, what they may be narrowed to, and clones of them (S12). Those that own
//! their way to the object.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::thread;

use rundown::{
    Guard, Guards, OwnedGuard, Park, Protected, RefGuard, Rundown, Spin, State, WaitOutcome,
};
use support::{Inline, Make, Plain, Script, for_every_sized_variant, panic_of};

for_every_sized_variant!(
    an_owned_guard_outlives_every_other_way,
    every_guard_is_cloned_while_draining,
    a_clone_keeps_the_value_across_a_cancel,
    mapped_guards_protect,
    a_map_that_panics_releases,
);

fn shared<R: Make>(value: &'static str) -> Arc<Protected<String, R>> {
    Arc::new(Protected::new(*R::make(), value.to_owned()))
}

fn an_owned_guard_outlives_every_other_way<R: Make>() {
    let value = Arc::new(());
    let object = Arc::new(Protected::new(*R::make(), Arc::clone(&value)));
    let weak = Arc::downgrade(&object);
    let guard = object.try_acquire_owned().expect("open");
    let clone = guard.clone();
    drop(object);
    drop(guard);
    assert_eq!(Arc::strong_count(&clone), 2, "the value is there");
    let object = weak.upgrade().expect("the guard keeps it");
    assert_eq!((object.state(), object.racy_held()), (State::Open, 1));
    drop(object);
    drop(clone);
    assert!(weak.upgrade().is_none(), "the object is gone");
    assert_eq!(Arc::strong_count(&value), 1, "and its value");
}

fn every_guard_is_cloned_while_draining<R: Make>() {
    let object = shared::<R>("value");
    R::on_cpu(0);
    let owned = object.try_acquire_owned().expect("open");
    let guard = object.try_acquire().expect("open");
    let guards = object.try_acquire_many(2).expect("open");
    let part = Guard::map(object.try_acquire().expect("open"), |value| &value[1..]);
    object.close();
    assert!(object.try_acquire_owned().is_none());
    R::on_cpu(1);
    let owned_clone = OwnedGuard::try_clone(&owned).expect("there is room");
    let clone = Guard::try_clone(&guard).expect("there is room");
    let many = Guards::try_clone(&guards).expect("there is room");
    let part_clone = part.clone();
    assert_eq!((Guards::count(&many), object.racy_held()), (2, 10));
    assert_eq!(Arc::strong_count(&object), 3, "two share it, and the test");
    assert!(Arc::ptr_eq(OwnedGuard::object(&owned_clone), &object));
    drop((owned, guard, guards, part));
    assert_eq!((object.state(), object.racy_held()), (State::Draining, 5));
    assert_eq!([&**owned_clone, &**clone, &**many], ["value"; 3]);
    assert_eq!(&*part_clone, "alue");
    assert_eq!(format!("{owned_clone} {owned_clone:?}"), "value Guard(\"value\")");
    drop((clone, many, part_clone));
    assert!(object.try_run_down().is_err(), "a clone holds it");
    // Not a scoped thread: the guard borrows nothing.
    let user = thread::spawn(move || assert_eq!(owned_clone.as_str(), "value"));
    assert_eq!(object.run_down(&Park).as_deref(), Ok("value"));
    user.join().expect("the user found the value");
}

fn a_clone_keeps_the_value_across_a_cancel<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let guard = object.try_acquire().expect("open");
    object.close();
    let late = guard.clone();
    drop(guard);
    object.cancel().expect("the clone holds it");
    R::on_cpu(1);
    let open = late.clone();
    drop(late);
    assert!(object.try_run_down().is_err(), "the clone's clone holds it");
    assert_eq!(*open, 7);
    drop(open);
    assert_eq!(object.run_down(&Spin), Ok(7));
}

fn mapped_guards_protect<R: Make>() {
    let object = Protected::new(*R::make(), (vec![1, 2, 3], "name"));
    let guard = object.try_acquire().expect("open");
    let numbers = Guard::map(guard, |value| value.0.as_slice());
    let last = Guard::map(numbers, |numbers| &numbers[2]);
    assert_eq!(object.racy_held(), 1, "still the same protection");
    let script = Script::new(|| {
        assert_eq!(*last, 3);
        drop(last);
    });
    assert_eq!(object.wait(&script), WaitOutcome::Drained);
    assert!(script.played());

    let object = Protected::new(*R::make(), Some(5));
    let guard = object.try_acquire().expect("open");
    let part = Guard::try_map(guard, |value| value.as_ref()).expect("there");
    assert_eq!(*part, 5);
    let guard = object.try_acquire().expect("open");
    let guard = Guard::try_map(guard, |_| None::<&u32>).expect_err("not there");
    assert_eq!((*guard, object.racy_held()), (Some(5), 2));
    drop((part, guard));
    assert_eq!(object.racy_held(), 0);
}

fn a_map_that_panics_releases<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let guard = object.try_acquire().expect("open");
    let text = panic_of(|| {
        drop(Guard::map(guard, |_: &i32| -> &i32 { panic!("no such part") }));
    });
    assert_eq!(text, "no such part");
    assert_eq!(object.run_down(&Spin), Ok(7));
}

/// May be looked at from any thread, but must be dropped where it was made.
#[derive(Debug)]
struct Stays(Cell<u32>, PhantomData<*mut ()>);

impl Stays {
    fn new(value: u32) -> Self {
        Self(Cell::new(value), PhantomData)
    }
}

// SAFETY: through `&Stays` only this test reads, and nothing writes.
unsafe impl Sync for Stays {}

#[test]
fn a_guard_is_send_if_its_value_is_sync() {
    fn send<T: Send + Sync>(value: T) -> T {
        value
    }
    let object = Protected::new(Rundown::<Plain>::new(), Stays::new(7));
    let guard = send(object.try_acquire().expect("open"));
    let part = send(Guard::map(guard, |value| value));
    thread::scope(|scope| {
        scope.spawn(move || assert_eq!(part.0.get(), 7));
    });
    assert_eq!(object.run_down(&Spin).map(|value| value.0.get()), Ok(7));
}

#[test]
fn guards_and_objects_are_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    shared::<Guard<'static, u64, Plain>>();
    shared::<Guards<'static, String, Inline<4>>>();
    shared::<OwnedGuard<String, Inline<4>>>();
    shared::<RefGuard<'static, Inline<4>>>();
    shared::<Protected<u64, Plain>>();
    shared::<Inline<4>>();
}

/// Of every guard: refused, or a panic, and nothing changes.
#[test]
fn a_full_object_refuses_every_clone() {
    let object = Arc::new(Protected::new(Rundown::<Plain>::new(), 7));
    let capacity = u32::try_from(Rundown::<Plain>::CAPACITY).expect("less than 2^32");
    let owned = object.try_acquire_owned().expect("open");
    let guard = object.try_acquire().expect("open");
    let guards = object.try_acquire_many(capacity - 2).expect("open");
    assert!(OwnedGuard::try_clone(&owned).is_err());
    assert!(Guard::try_clone(&guard).is_err());
    assert!(Guards::try_clone(&guards).is_err());
    for text in [
        panic_of(|| drop(owned.clone())),
        panic_of(|| drop(guard.clone())),
        panic_of(|| drop(guards.clone())),
    ] {
        assert!(text.starts_with("a guard was not cloned"), "{text}");
    }
    assert_eq!(object.racy_held(), i64::from(capacity));
    assert_eq!(Arc::strong_count(&object), 2, "a clone kept the object");
}
