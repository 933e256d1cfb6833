//! Owners' calls of a `Protected`: values in and out, run-down handles, generations. And its
//! guards: many at a time, clones (S12), parts of a value, guards that own their way to the object.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::{Arc, MutexGuard};
use std::thread;

use rundown::{
    CloseOutcome, Generation, Guard, Guards, OwnedGuard, Park, Protected, RefGuard, Retired,
    RunDownError, Rundown, Spin, State, WaitOutcome,
};
use support::{Inline, Make, Plain, for_every_sized_variant, panic_of, script};

for_every_sized_variant!(
    a_vacant_object_is_closed_whatever_the_rundown_is,
    waiting_leaves_the_value_in,
    publish_gives_the_value_back_if_it_may_not,
    replace_waits_and_gives_the_old_value,
    replace_gives_the_value_back_if_it_may_not,
    born_closed_with_its_value,
    a_value_that_it_was_born_with_is_taken,
    a_handle_may_be_asked_again,
    the_first_of_two_takes_the_value,
    the_first_of_two_replaces_the_value,
    a_late_run_down_leaves_the_next_generation_alone,
    a_generation_ends_once,
    many_guards_are_handed_out,
    an_owned_guard_outlives_every_other_way,
    every_guard_is_cloned_while_draining,
    mapped_guards_protect,
);

/// A run-down of an object that nothing holds.
fn retired<T, R: Make>(object: &Protected<T, R>) -> Retired<'_, T, R> {
    object.begin_run_down().wait(&Spin).expect("drained")
}

fn retired_of<T, R: Make>(object: &Protected<T, R>, generation: Generation) -> Retired<'_, T, R> {
    object.begin_run_down_of(generation).wait(&Spin).expect("drained")
}

fn a_vacant_object_is_closed_whatever_the_rundown_is<R: Make>() {
    for rundown in [R::make_closed(), R::make()] {
        let vacant = Protected::<u32, _>::vacant(*rundown);
        assert!(vacant.try_acquire().is_none());
        vacant.publish(1).expect("vacant");
    }
}

fn waiting_leaves_the_value_in<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    assert_eq!(object.wait(&Spin), WaitOutcome::Drained);
    object.reinit().expect("drained");
    assert_eq!(*object.try_acquire().expect("open"), 7);
    // Marked run down, it holds its value as well.
    assert_eq!(object.try_wait(), Ok(()));
    object.complete().expect("drained");
    object.publish(8).expect_err("it holds a value");
    object.open().expect("run down");
    let guard = object.try_acquire().expect("open");
    let outstanding = object.try_wait().expect_err("one is held");
    assert_eq!(object.try_run_down(), Err(RunDownError::Outstanding(outstanding)));
    assert_eq!(*guard, 7);
    drop(guard);
    object.complete().expect("drained");
    assert_eq!(object.try_run_down(), Ok(7));
    assert_eq!(object.try_run_down(), Err(RunDownError::Taken));
}

fn publish_gives_the_value_back_if_it_may_not<R: Make>() {
    let object = Protected::new(*R::make(), 1);
    let guard = object.try_acquire().expect("open");
    let refused = |expected: State| {
        let error = object.publish(2).expect_err("not run down");
        assert_eq!((error.value, error.reason.found), (2, expected));
        assert_eq!(object.state(), expected);
    };
    refused(State::Open);
    object.close();
    refused(State::Draining);
    drop(guard);
    // Drained is not enough: the value is still in.
    refused(State::Drained);
    assert_eq!(object.run_down(&Spin), Ok(1));
}

fn replace_waits_and_gives_the_old_value<R: Make>() {
    let object = Protected::new(*R::make(), 1);
    let guard = object.try_acquire().expect("open");
    let script = script(|| {
        assert!(object.try_acquire().is_none(), "refused in between");
        assert_eq!(*guard, 1, "the old one stays while it is in use");
        drop(guard);
    });
    assert_eq!(object.replace(&script, 2).expect("drained"), 1);
    assert_eq!((object.state(), object.racy_held()), (State::Open, 0));
    assert_eq!(*object.try_acquire().expect("open"), 2);
    // A closed object that drained opens, too.
    object.close();
    assert_eq!(object.replace(&Spin, 3).expect("drained"), 2);
    assert_eq!(object.run_down(&Spin), Ok(3));
}

fn replace_gives_the_value_back_if_it_may_not<R: Make>() {
    let object = Protected::new(*R::make(), 1);
    let guard = object.try_acquire().expect("open");
    let script = script(|| _ = object.cancel().expect("draining"));
    let error = object.replace(&script, 2).expect_err("cancelled");
    assert_eq!((error.value, error.reason), (2, RunDownError::Cancelled));
    drop(guard);
    assert_eq!(object.run_down(&Spin), Ok(1));
    let error = object.replace(&Spin, 3).expect_err("taken");
    assert_eq!((error.value, error.reason), (3, RunDownError::Taken));
    assert_eq!(object.state(), State::RunDown);
}

fn born_closed_with_its_value<R: Make>() {
    let object = Protected::new(*R::make_closed(), 7);
    assert!(object.try_acquire().is_none());
    object.open().expect("born closed");
    assert_eq!(*object.try_acquire().expect("open"), 7);
    let refused = |object: &Protected<_, R>, found| {
        assert_eq!(object.open().map_err(|error| error.found), Err(found));
        assert_eq!(object.reinit().map_err(|error| error.found), Err(found));
        assert_eq!(object.state(), found);
    };
    refused(&object, State::Open);
    assert_eq!(object.run_down(&Spin), Ok(7));
    // Its value is out: there is nothing to open with.
    refused(&object, State::RunDown);
    object.publish(8).expect("run down");
    assert_eq!(*object.try_acquire().expect("open"), 8);
}

/// Without being opened: it was born closed, and is to go.
fn a_value_that_it_was_born_with_is_taken<R: Make>() {
    let object = Protected::new(*R::make_closed(), 7);
    let refused = object.publish(8).expect_err("it holds a value");
    assert_eq!((refused.value, refused.reason.found), (8, State::RunDown));
    assert_eq!(object.close(), CloseOutcome::AlreadyClosed);
    assert_eq!(object.run_down(&Spin), Ok(7));
    // Or it is replaced.
    let object = Protected::new(*R::make_closed(), 7);
    assert_eq!(object.replace(&Spin, 8).expect("run down"), 7);
    assert_eq!(*object.try_acquire().expect("open"), 8);
    // A handle from before the first opening does not take from the next generation.
    let object = Protected::new(*R::make_closed(), 1);
    let early = retired(&object);
    let opened = object.open().expect("born closed");
    object.close();
    assert_eq!(early.take(), Err(RunDownError::Taken));
    assert_eq!(retired_of(&object, opened).take(), Ok(1));
}

fn a_handle_may_be_asked_again<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let guard = object.try_acquire().expect("open");
    let mut run_down = object.begin_run_down();
    assert_eq!(object.state(), State::Draining, "it closes immediately");
    assert!(run_down.poll().is_none());
    let outstanding = run_down.outstanding();
    assert_eq!((outstanding.state, outstanding.held), (State::Draining, 1));
    for _ in 0..2 {
        let missed = run_down.wait_deadline(&Park, 0).map(drop);
        assert_eq!(missed, Err(RunDownError::Outstanding(outstanding)));
    }
    let retired = run_down.wait(&script(|| drop(guard))).expect("drained");
    assert_eq!(object.state(), State::Drained);
    assert_eq!(retired.take(), Ok(7));
    assert_eq!(object.state(), State::RunDown);
    // Still the same generation, which has ended: but its value is gone.
    let again = run_down.poll().expect("drained").expect("not cancelled");
    assert_eq!(again.take(), Err(RunDownError::Taken));
}

fn the_first_of_two_takes_the_value<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let [first, second, third] = [(); 3].map(|()| retired(&object));
    drop(first);
    assert_eq!(object.state(), State::Drained, "the value is in");
    assert_eq!(second.take(), Ok(7));
    let refused = third.replace(8).expect_err("taken");
    assert_eq!((refused.value, refused.reason), (8, RunDownError::Taken));
    assert_eq!(object.state(), State::RunDown, "and nothing was published");
}

fn the_first_of_two_replaces_the_value<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let [first, second] = [(); 2].map(|()| retired(&object));
    assert_eq!(first.replace(8).expect("the first"), 7);
    // Closed and drained again: but that is the next generation's value.
    object.close();
    assert_eq!(second.take(), Err(RunDownError::Taken));
    assert_eq!((object.state(), object.run_down(&Spin)), (State::Drained, Ok(8)));
}

/// The owner of the first value is late: another one has run it down, and published another one.
fn a_late_run_down_leaves_the_next_generation_alone<R: Make>() {
    let object = Protected::vacant(*R::make_closed());
    let first = object.publish(1).expect("vacant");
    assert_eq!(object.run_down(&Spin), Ok(1));
    let second = object.publish(2).expect("run down");
    assert_ne!(first, second);
    assert_eq!(retired_of(&object, first).take(), Err(RunDownError::Taken));
    let refused = retired_of(&object, first).replace(3);
    assert_eq!(refused.expect_err("not its own").value, 3);
    assert_eq!(object.state(), State::Open, "it was closed");
    // Closed, too.
    object.close();
    assert_eq!(retired_of(&object, first).take(), Err(RunDownError::Taken));
    assert_eq!(retired_of(&object, second).take(), Ok(2));
}

fn a_generation_ends_once<R: Make>() {
    let object = Protected::vacant(*R::make_closed());
    let generation = object.publish(1).expect("vacant");
    let guard = object.try_acquire().expect("open");
    let mut run_down = object.begin_run_down_of(generation);
    assert_eq!(object.state(), State::Draining);
    // A cancel is in the same generation.
    object.cancel().expect("draining");
    let cancelled = run_down.poll().expect("over").map(drop);
    assert_eq!(cancelled, Err(RunDownError::Cancelled));
    assert_eq!(object.generation(), generation);
    drop(guard);
    assert_eq!(retired_of(&object, generation).take(), Ok(1));
    assert_eq!(retired_of(&object, generation).take(), Err(RunDownError::Taken));
    assert_eq!(object.state(), State::RunDown);
}

fn many_guards_are_handed_out<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    assert!(object.try_acquire_many(0).is_none(), "that protects nothing");
    let mut guards = object.try_acquire_many(3).expect("open");
    assert_eq!((Guards::count(&guards), object.racy_held()), (3, 3));
    let one = Guards::take_one(&mut guards).expect("two are left");
    let two = Guards::take_one(&mut guards).expect("one is left");
    assert!(Guards::take_one(&mut guards).is_none(), "the last one stays");
    assert_eq!((*one, *two, *guards, object.racy_held()), (7, 7, 7, 3));
    drop((one, two, guards));
    let guards = object.try_acquire_many(4).expect("open");
    let mut each = Guards::into_guards(guards);
    let first = each.next().expect("four");
    // Those never taken are given up.
    drop(each);
    assert_eq!((*first, object.racy_held()), (7, 1));
    object.close();
    assert!(object.try_acquire_many(3).is_none());
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

/// Guards are `Send` or `Sync` as `&T` is: `MutexGuard` is `Sync`, but must be dropped where made.
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
