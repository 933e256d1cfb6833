//! Guards that own their way to the object, and clones of the guards of a value (S12).
#![cfg(not(rundown_loom))]

mod support;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use rundown::{Guard, Guards, OwnedGuard, Park, Protected, RefGuard, Rundown, Spin, State};
use support::{Make, Plain, for_every_sized_variant, panic_of};

for_every_sized_variant!(
    an_owned_guard_is_sent_to_a_thread,
    an_owned_guard_outlives_every_other_way,
    an_owned_guard_is_refused_when_closed,
    an_owned_guard_is_cloned_while_draining,
    owned_guards_show_the_value,
    a_guard_is_cloned_while_draining,
    a_clone_of_a_part_keeps_the_whole,
    guards_are_cloned_while_draining,
    a_clone_keeps_the_value_across_a_cancel,
);

fn shared<R: Make>(value: &'static str) -> Arc<Protected<String, R>> {
    Arc::new(Protected::new(*R::make(), value.to_owned()))
}

fn an_owned_guard_is_sent_to_a_thread<R: Make>() {
    let object = shared::<R>("value");
    let guard = object.try_acquire_owned().expect("open");
    assert!(Arc::ptr_eq(OwnedGuard::object(&guard), &object));
    let (closed, waits) = mpsc::channel();
    // Not a scoped thread: the guard borrows nothing.
    let user = thread::spawn(move || {
        waits.recv().expect("the owner goes on");
        assert_eq!(guard.as_str(), "value");
    });
    object.close();
    assert_eq!(object.state(), State::Draining);
    closed.send(()).expect("the user listens");
    assert_eq!(object.run_down(&Park).as_deref(), Ok("value"));
    user.join().expect("the user found the value");
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

fn an_owned_guard_is_refused_when_closed<R: Make>() {
    let object = shared::<R>("value");
    object.close();
    assert!(object.try_acquire_owned().is_none());
    assert_eq!(Arc::strong_count(&object), 1);
}

fn an_owned_guard_is_cloned_while_draining<R: Make>() {
    let object = shared::<R>("value");
    R::on_cpu(0);
    let guard = object.try_acquire_owned().expect("open");
    object.close();
    R::on_cpu(1);
    let clone = OwnedGuard::try_clone(&guard).expect("there is room");
    drop(guard);
    assert_eq!((object.state(), object.racy_held()), (State::Draining, 1));
    assert_eq!(Arc::strong_count(&object), 2);
    let user = thread::spawn(move || assert_eq!(clone.as_str(), "value"));
    assert_eq!(object.run_down(&Park).as_deref(), Ok("value"));
    user.join().expect("the user found the value");
}

fn owned_guards_show_the_value<R: Make>() {
    let object = shared::<R>("value");
    let guard = object.try_acquire_owned().expect("open");
    assert_eq!(format!("{guard} {guard:?}"), "value Guard(\"value\")");
}

fn a_guard_is_cloned_while_draining<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    R::on_cpu(0);
    let guard = object.try_acquire().expect("open");
    let open = guard.clone();
    object.close();
    R::on_cpu(1);
    let late = Guard::try_clone(&guard).expect("there is room");
    drop((guard, open));
    assert!(object.try_run_down().is_err(), "one is held");
    assert_eq!(*late, 7);
    drop(late);
    assert_eq!(object.run_down(&Spin), Ok(7));
}

fn a_clone_of_a_part_keeps_the_whole<R: Make>() {
    let object = Protected::new(*R::make(), (1, String::from("two")));
    let guard = object.try_acquire().expect("open");
    object.close();
    let part = Guard::map(guard, |pair| pair.1.as_str());
    let clone = part.clone();
    drop(part);
    assert!(object.try_run_down().is_err(), "the clone holds it");
    assert_eq!(&*clone, "two");
    drop(clone);
    assert!(object.try_run_down().is_ok());
}

fn guards_are_cloned_while_draining<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    R::on_cpu(0);
    let guards = object.try_acquire_many(2).expect("open");
    object.close();
    R::on_cpu(1);
    let more = Guards::try_clone(&guards).expect("there is room");
    let again = guards.clone();
    assert_eq!((Guards::count(&more), object.racy_held()), (2, 6));
    drop((guards, more));
    assert_eq!((*again, object.racy_held()), (7, 2));
    drop(again);
    assert_eq!(object.run_down(&Spin), Ok(7));
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

/// Takes all but one of what the object can count.
fn almost_full(object: &Rundown<Plain>) -> RefGuard<'_, Plain> {
    let capacity = u32::try_from(Rundown::<Plain>::CAPACITY).expect("less than 2^32");
    let mut many = object.try_acquire_many(capacity).expect("exactly as many");
    std::mem::forget(many.split_off(capacity - 1));
    many.take_one().expect("one is left")
}

/// Of every guard: refused, or a panic, and nothing changes.
#[test]
fn a_full_object_refuses_every_clone() {
    let object = Rundown::<Plain>::new();
    let guard = almost_full(&object);
    let held = object.racy_held();
    assert!(guard.try_clone().is_err());
    assert!(panic_of(|| drop(guard.clone())).starts_with("a guard was not cloned"));
    assert_eq!(object.racy_held(), held);

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
