//! Guards of a `Protected`: guards of many, clones (S12), parts of a value, guards that own their way to the object.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::{Arc, MutexGuard};
use std::thread;

use rundown::{Guard, Guards, OwnedGuard, Park, Protected, RefGuard, Rundown, Spin, State};
use support::{Inline, Make, Plain, for_every_sized_variant, panic_of};

for_every_sized_variant!(
    many_guards_of_one_value,
    many_guards_are_handed_out,
    an_owned_guard_outlives_every_other_way,
    every_guard_is_cloned_while_draining,
    mapped_guards_protect,
);

fn many_guards_of_one_value<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    assert!(object.try_acquire_many(0).is_none(), "that protects nothing");
    let guards = object.try_acquire_many(3).expect("open");
    assert_eq!((*guards, Guards::count(&guards), object.racy_held()), (7, 3, 3));
    object.close();
    assert!(object.try_acquire_many(3).is_none());
    drop(guards);
    assert_eq!(object.run_down(&Spin), Ok(7));
}

fn many_guards_are_handed_out<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let mut guards = object.try_acquire_many(3).expect("open");
    let one = Guards::take_one(&mut guards).expect("two are left");
    let two = Guards::take_one(&mut guards).expect("one is left");
    assert!(Guards::take_one(&mut guards).is_none(), "the last one stays");
    assert_eq!((*one, *two, *guards), (7, 7, 7));
    assert_eq!(object.racy_held(), 3);
    drop((one, two, guards));
    let guards = object.try_acquire_many(4).expect("open");
    let mut each = Guards::into_guards(guards);
    let first = each.next().expect("four");
    // Those never taken are given up.
    drop(each);
    assert_eq!((*first, object.racy_held()), (7, 1));
}

fn an_owned_guard_outlives_every_other_way<R: Make>() {
    let value = Arc::new(());
    let object = Arc::new(Protected::new(*R::make(), Arc::clone(&value)));
    let weak = Arc::downgrade(&object);
    let guard = object.try_acquire_owned().expect("open");
    let clone = guard.clone();
    drop((object, guard));
    assert_eq!(Arc::strong_count(&clone), 2, "the value is there");
    let object = weak.upgrade().expect("the guard keeps it");
    assert_eq!((object.state(), object.racy_held()), (State::Open, 1));
    drop((object, clone));
    assert!(weak.upgrade().is_none(), "the object is gone");
    assert_eq!(Arc::strong_count(&value), 1, "and its value");
}

fn every_guard_is_cloned_while_draining<R: Make>() {
    let object = Arc::new(Protected::new(*R::make(), "value".to_owned()));
    R::on_cpu(0);
    let owned = object.try_acquire_owned().expect("open");
    let guard = object.try_acquire().expect("open");
    let guards = object.try_acquire_many(2).expect("open");
    let part = Guard::map(object.try_acquire().expect("open"), |value| &value[1..]);
    object.close();
    assert!(object.try_acquire_owned().is_none());
    R::on_cpu(1);
    let (owned_clone, clone) = (owned.clone(), guard.clone());
    let (many, part_clone) = (guards.clone(), part.clone());
    assert_eq!((Guards::count(&many), object.racy_held()), (2, 10));
    assert_eq!(Arc::strong_count(&object), 3, "two share it, and the test");
    assert!(Arc::ptr_eq(OwnedGuard::object(&owned_clone), &object));
    drop((owned, guard, guards, part));
    assert_eq!((object.state(), object.racy_held()), (State::Draining, 5));
    assert_eq!([&**owned_clone, &**clone, &**many], ["value"; 3]);
    assert_eq!(&*part_clone, "alue");
    drop((clone, many, part_clone));
    assert!(object.try_run_down().is_err(), "a clone holds it");
    // Not a scoped thread: the guard borrows nothing.
    let user = thread::spawn(move || assert_eq!(owned_clone.as_str(), "value"));
    assert_eq!(object.run_down(&Park).as_deref(), Ok("value"));
    user.join().expect("the user found the value");
}

fn mapped_guards_protect<R: Make>() {
    let object = Protected::new(*R::make(), (vec![1, 2, 3], Some(5)));
    let guard = || object.try_acquire().expect("open");
    let numbers = Guard::map(guard(), |value| value.0.as_slice());
    let last = Guard::map(numbers, |numbers| &numbers[2]);
    assert_eq!((*last, object.racy_held()), (3, 1));
    let part = Guard::try_map(guard(), |value| value.1.as_ref()).expect("there");
    assert_eq!(*part, 5);
    let whole = Guard::try_map(guard(), |_| None::<&u32>).expect_err("not there");
    assert_eq!((whole.1, object.racy_held()), (Some(5), 3));
    drop((last, part, whole));
    let text = panic_of(|| drop(Guard::map(guard(), |_| -> &i32 { panic!("no such part") })));
    assert_eq!((text.as_str(), object.racy_held()), ("no such part", 0));
}

/// A guard is as its value is shared: a `MutexGuard` is `Sync`, but must be dropped where it was made.
#[test]
fn guards_and_objects_are_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    shared::<Guard<'static, MutexGuard<'static, u32>, Plain>>();
    shared::<Guards<'static, MutexGuard<'static, u32>, Inline<4>>>();
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
    let text = panic_of(|| drop(owned.clone()));
    assert!(text.starts_with("a guard was not cloned"), "{text}");
    assert_eq!(object.racy_held(), i64::from(capacity));
    assert_eq!(Arc::strong_count(&object), 2, "a clone kept the object");
}
