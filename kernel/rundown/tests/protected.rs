//! `Protected` and its guards, over every variant that can be moved.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::Arc;
use std::thread;

use rundown::{Protected, RunDown, RunDownError, Spin, State, WaitOutcome};
use support::{Make, Script, executor, for_every_sized_variant};

for_every_sized_variant!(
    a_vacant_object_is_closed_whatever_the_rundown_is,
    waiting_leaves_the_value_in,
    a_late_owner_does_not_take_the_next_value,
    publish_gives_the_value_back_if_it_may_not,
    dropping_it_drops_the_value_once,
    replace_waits_and_gives_the_old_value,
    replace_gives_the_value_back_if_it_may_not,
    run_down_as_a_future,
    born_closed_with_its_value,
    misses_and_refusals_are_told,
);

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
    assert_eq!(object.state(), State::Drained);
    object.reinit().expect("drained");
    assert_eq!(*object.try_acquire().expect("open"), 7);
    // Marked run down, it holds its value as well.
    assert_eq!(object.try_wait(), Ok(()));
    object.complete().expect("drained");
    object.publish(8).expect_err("it holds a value");
    object.open().expect("run down");
    assert_eq!(object.try_wait(), Ok(()));
    object.complete().expect("drained");
    assert_eq!(object.run_down(&Spin), Ok(7));
}

fn a_late_owner_does_not_take_the_next_value<R: Make>() {
    let object = Protected::new(*R::make(), 1);
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

fn dropping_it_drops_the_value_once<R: Make>() {
    let value = Arc::new(());
    let object = Protected::new(*R::make(), Arc::clone(&value));
    drop(object);
    assert_eq!(Arc::strong_count(&value), 1);

    let object = Protected::new(*R::make(), Arc::clone(&value));
    drop(object.run_down(&Spin));
    assert_eq!(Arc::strong_count(&value), 1);
    drop(object);
    assert_eq!(Arc::strong_count(&value), 1);
}

fn replace_waits_and_gives_the_old_value<R: Make>() {
    let object = Protected::new(*R::make(), 1);
    let guard = object.try_acquire().expect("open");
    let script = Script::new(|| {
        assert!(object.try_acquire().is_none(), "refused in between");
        assert_eq!(*guard, 1, "the old one stays while it is in use");
        drop(guard);
    });
    assert_eq!(object.replace(&script, 2).expect("drained"), 1);
    assert!(script.played());
    assert_eq!(object.state(), State::Open);
    assert_eq!(*object.try_acquire().expect("open"), 2);
    // A closed object that drained opens, too.
    object.close();
    assert_eq!(object.replace(&Spin, 3).expect("drained"), 2);
    assert_eq!(object.run_down(&Spin), Ok(3));
}

fn replace_gives_the_value_back_if_it_may_not<R: Make>() {
    let object = Protected::new(*R::make(), 1);
    let guard = object.try_acquire().expect("open");
    let script = Script::new(|| {
        object.cancel().expect("draining");
    });
    let error = object.replace(&script, 2).expect_err("cancelled");
    assert_eq!((error.value, error.reason), (2, RunDownError::Cancelled));
    assert_eq!(*guard, 1);
    drop(guard);
    assert_eq!(object.run_down(&Spin), Ok(1));
    let error = object.replace(&Spin, 3).expect_err("taken");
    assert_eq!((error.value, error.reason), (3, RunDownError::Taken));
    assert_eq!(object.state(), State::RunDown);
}

async fn taken<T, R: Make>(run_down: RunDown<'_, T, R>) -> Result<T, RunDownError> {
    run_down.await?.take()
}

fn run_down_as_a_future<R: Make>() {
    let executor = executor();
    let object = Protected::new(*R::make(), 7);
    let guard = object.try_acquire().expect("open");
    thread::scope(|scope| {
        let future = taken(object.begin_run_down());
        assert_eq!(object.state(), State::Draining, "it closes at once");
        scope.spawn(move || drop(guard));
        assert_eq!(executor.block_on(future), Ok(7));
    });
    let again = executor.block_on(taken(object.begin_run_down()));
    assert_eq!(again, Err(RunDownError::Taken));
    object.publish(8).expect("run down");
    let guard = object.try_acquire().expect("open");
    let future = taken(object.begin_run_down());
    object.cancel().expect("draining");
    assert_eq!(executor.block_on(future), Err(RunDownError::Cancelled));
    assert_eq!(*guard, 8);
}

fn born_closed_with_its_value<R: Make>() {
    let object = Protected::new(*R::make_closed(), 7);
    assert_eq!(object.state(), State::RunDown);
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

fn misses_and_refusals_are_told<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let error = object.publish(8).expect_err("open");
    assert_eq!(
        error.to_string(),
        "the new value was not put in: not legal while the object is open"
    );
    assert!(format!("{error:?}").starts_with("Rejected { reason: WrongState"));
    let guard = object.try_acquire().expect("open");
    let error = object.try_run_down().expect_err("held");
    let text = error.to_string();
    assert!(text.starts_with("guards are still out: the object at 0x"));
    assert!(text.contains("is draining, 1 held"), "{text}");
    drop(guard);
    assert_eq!(object.run_down(&Spin), Ok(7));
    let error = object.replace(&Spin, 9).expect_err("taken");
    assert_eq!(
        error.to_string(),
        "the new value was not put in: another caller has run the object down, or opened it again"
    );
    assert!(format!("{error:?}").starts_with("Rejected { reason: Taken"));
    assert_eq!(RunDownError::Cancelled.to_string(), "the drain was cancelled: the object is open");
}
