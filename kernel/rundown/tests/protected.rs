//! `Protected` and its guards, over every kind.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rundown::{
    CloseOutcome, Guard, Park, Protected, RefGuard, RunDownError, Spin, State, WaitOutcome,
};
use support::{Inline, Make, Plain, Script, for_every_kind, on_cpu};

for_every_kind!(
    the_owner_gets_the_value_back,
    run_down_outlasts_the_guards,
    a_guard_gives_access_while_its_object_drains,
    close_and_run_down_are_separate_moments,
    waiting_leaves_the_value_in,
    exactly_one_of_many_gets_the_value,
    a_late_owner_does_not_take_the_next_value,
    publish_opens_with_a_new_value,
    publish_gives_the_value_back_if_it_may_not,
    dropping_it_drops_the_value_once,
    an_object_may_start_closed,
    a_guard_may_move_to_another_thread,
);

fn the_owner_gets_the_value_back<R: Make>() {
    let object = Protected::new(R::make(), String::from("value"));
    assert_eq!(object.try_acquire().expect("open").as_str(), "value");
    assert_eq!(object.run_down(&Spin).as_deref(), Ok("value"));
    assert_eq!(object.state(), State::RunDown);
    assert!(object.try_acquire().is_none());
    assert_eq!(object.run_down(&Spin), Err(RunDownError::Taken));
}

fn run_down_outlasts_the_guards<R: Make>() {
    let object = Protected::new(R::make(), 7);
    let guard = object.try_acquire().expect("open");
    let script = Script::new(|| drop(guard));
    assert_eq!(object.run_down(&script), Ok(7));
    assert!(script.played());
}

fn a_guard_gives_access_while_its_object_drains<R: Make>() {
    let object = Protected::new(R::make(), 7);
    let guard = object.try_acquire().expect("open");
    object.close();
    assert_eq!(*guard, 7);
}

fn close_and_run_down_are_separate_moments<R: Make>() {
    let object = Protected::new(R::make(), 7);
    let guard = object.try_acquire().expect("open");
    assert_eq!(object.close(), CloseOutcome::Closed);
    assert_eq!(object.state(), State::Draining);
    assert!(!object.is_drained());
    drop(guard);
    assert!(object.is_drained());
    assert_eq!(object.run_down(&Spin), Ok(7));
}

fn waiting_leaves_the_value_in<R: Make>() {
    let object = Protected::new(R::make(), 7);
    assert_eq!(object.wait(&Spin), WaitOutcome::Drained);
    assert_eq!(object.state(), State::Drained);
    assert_eq!(object.run_down(&Spin), Ok(7));
}

fn exactly_one_of_many_gets_the_value<R: Make>() {
    for _ in 0..200 {
        let object = Protected::new(R::make(), Box::new(7));
        let won = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| match object.run_down(&Park) {
                    Ok(value) => won.fetch_add(*value, Ordering::Relaxed),
                    Err(RunDownError::Taken) => 0,
                    Err(error) => panic!("{error}"),
                });
            }
        });
        assert_eq!(won.into_inner(), 7);
    }
}

fn a_late_owner_does_not_take_the_next_value<R: Make>() {
    let object = Protected::new(R::make(), 1);
    let guard = object.try_acquire().expect("open");
    let script = Script::new(|| {
        drop(guard);
        assert_eq!(object.run_down(&Spin), Ok(1));
        object.publish(2).expect("run down");
        object.close();
    });
    assert_eq!(object.run_down(&script), Err(RunDownError::Taken));
    assert_eq!(object.run_down(&Spin), Ok(2));
}

fn publish_opens_with_a_new_value<R: Make>() {
    let object = Protected::new(R::make(), 0);
    for value in 1..100 {
        assert_eq!(object.run_down(&Spin), Ok(value - 1));
        object.publish(value).expect("run down");
        assert_eq!(object.state(), State::Open);
        assert_eq!(*object.try_acquire().expect("open"), value);
    }
}

fn publish_gives_the_value_back_if_it_may_not<R: Make>() {
    let object = Protected::new(R::make(), 1);
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

fn dropping_it_drops_the_value_once<R: Make>() {
    let value = Arc::new(());
    let object = Protected::new(R::make(), Arc::clone(&value));
    drop(object);
    assert_eq!(Arc::strong_count(&value), 1);

    let object = Protected::new(R::make(), Arc::clone(&value));
    drop(object.run_down(&Spin));
    assert_eq!(Arc::strong_count(&value), 1);
    drop(object);
    assert_eq!(Arc::strong_count(&value), 1);
}

fn an_object_may_start_closed<R: Make>() {
    let rundown = R::make();
    assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
    rundown.complete().expect("drained");
    let object = Protected::new(rundown, 1);
    assert!(object.try_acquire().is_none());
    object.publish(2).expect("run down");
    assert_eq!(*object.try_acquire().expect("open"), 2);
}

fn a_guard_may_move_to_another_thread<R: Make>() {
    let object = Protected::new(R::make(), AtomicUsize::new(0));
    on_cpu(0);
    let guard = object.try_acquire().expect("open");
    thread::scope(|scope| {
        scope.spawn(move || {
            on_cpu(1);
            // Visible to the owner, although nothing but the release orders it.
            guard.store(7, Ordering::Relaxed);
            drop(guard);
        });
        assert_eq!(object.run_down(&Park).map(AtomicUsize::into_inner), Ok(7));
    });
}

#[test]
fn guards_and_objects_are_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    shared::<Guard<'static, u64, Plain>>();
    shared::<Guard<'static, u64, Inline<4>>>();
    shared::<RefGuard<'static, Inline<4>>>();
    shared::<Protected<u64, Plain>>();
    shared::<Inline<4>>();
}

#[test]
fn objects_can_be_statics() {
    static PLAIN: Protected<u64, Plain> = Protected::new(Plain::new(), 1);
    static CACHE_AWARE: Protected<u64, Inline<4>> = Protected::new(Inline::new(), 2);
    assert_eq!(PLAIN.try_acquire().map(|guard| *guard), Some(1));
    assert_eq!(CACHE_AWARE.try_acquire().map(|guard| *guard), Some(2));
}

#[test]
fn without_slots_there_is_no_object() {
    let none: &'static mut [rundown::Slot] = &mut [];
    assert!(support::Borrowed::with_slots(none).is_err());
}
