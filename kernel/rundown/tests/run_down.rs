//! The run-down handle, generations, and what else owners of a `Protected` call.
#![cfg(not(rundown_loom))]

mod support;

use rundown::{CloseOutcome, Guards, Park, Protected, RunDownError, Spin, State};
use support::{Counted, Make, Script, for_every_sized_variant};

for_every_sized_variant!(
    many_guards_of_one_value,
    many_guards_are_handed_out,
    a_completion_leaves_the_value_in,
    a_handle_is_polled,
    a_handle_waits_by_a_deadline,
    the_first_of_two_takes_the_value,
    the_first_of_two_replaces_the_value,
    try_run_down_never_waits,
    a_late_run_down_leaves_the_next_generation_alone,
    a_generation_ends_once,
    an_end_of_the_first_generation_does_not_take_from_the_next,
    a_value_that_it_was_born_with_is_taken,
);

fn many_guards_of_one_value<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    assert!(object.try_acquire_many(0).is_none(), "that protects nothing");
    R::on_cpu(0);
    let guards = object.try_acquire_many(3).expect("open");
    assert_eq!((*guards, Guards::count(&guards)), (7, 3));
    assert_eq!(format!("{guards:?}"), "Guard(7)");
    object.close();
    assert!(object.try_acquire_many(3).is_none());
    R::on_cpu(1);
    let more = guards.clone();
    drop(guards);
    assert_eq!((*more, object.racy_held()), (7, 3));
    drop(more);
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
    drop((one, two));
    assert_eq!(object.racy_held(), 1);
    drop(guards);
    let guards = object.try_acquire_many(4).expect("open");
    let mut each = Guards::into_guards(guards);
    let first = each.next().expect("four");
    // Those never taken are given up.
    drop(each);
    assert_eq!((*first, object.racy_held()), (7, 1));
    drop(first);
    assert_eq!(object.run_down(&Spin), Ok(7));
}

/// And may take it out, in the context of the last release.
fn a_completion_leaves_the_value_in<R: Make>() {
    let object: &'static Protected<_, R> = Box::leak(Box::new(Protected::new(*R::make(), 7)));
    let counted = Counted::new();
    let guard = object.try_acquire().expect("open");
    assert_eq!(object.close_then(&counted.completion), Ok(()));
    assert!(counted.is(object.cancel().expect("draining")) && *guard == 7);
    assert_eq!(object.close_then(&counted.completion), Ok(()));
    drop(guard);
    assert_eq!((counted.runs(), object.state()), (1, State::Drained));
    assert_eq!(object.replace(&Spin, 8).expect("drained"), 7);
    let taking = Counted::and(|| assert_eq!(object.try_run_down(), Ok(8)));
    let guard = object.try_acquire();
    assert_eq!(object.close_then(&taking.completion), Ok(()));
    drop(guard);
    assert_eq!((taking.runs(), object.state()), (1, State::RunDown));
}

fn a_handle_is_polled<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let guard = object.try_acquire().expect("open");
    let mut run_down = object.begin_run_down();
    assert_eq!(object.state(), State::Draining);
    assert!(run_down.poll().is_none());
    drop(guard);
    let retired = run_down.poll().expect("drained").expect("not cancelled");
    assert_eq!(object.state(), State::Drained);
    assert_eq!(retired.take(), Ok(7));
    assert_eq!(object.state(), State::RunDown);
    // Still the same generation, which has ended: but its value is gone.
    let again = run_down.poll().expect("drained").expect("not cancelled");
    assert_eq!(again.take(), Err(RunDownError::Taken));
}

fn a_handle_waits_by_a_deadline<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let guard = object.try_acquire().expect("open");
    let mut run_down = object.begin_run_down();
    // May be called again.
    for _ in 0..2 {
        match run_down.wait_deadline(&Park, 0) {
            Err(RunDownError::Outstanding(guards)) => {
                assert_eq!((guards.state, guards.held), (State::Draining, 1));
            }
            other => panic!("{other:?}"),
        }
    }
    let script = Script::new(|| drop(guard));
    let retired = run_down.wait(&script).expect("drained");
    assert!(script.played());
    assert_eq!(retired.take(), Ok(7));
}

fn the_first_of_two_takes_the_value<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let [first, second, third] = [(); 3].map(|()| {
        let retired = object.begin_run_down().wait(&Spin);
        retired.expect("drained")
    });
    let shown = format!("{first:?}");
    assert!(shown.starts_with("Retired(0x"), "{shown}");
    drop(first);
    assert_eq!(object.state(), State::Drained, "the value is in");
    assert_eq!(second.take(), Ok(7));
    let refused = third.replace(8).expect_err("taken");
    assert_eq!((refused.value, refused.reason), (8, RunDownError::Taken));
    assert_eq!(object.state(), State::RunDown, "and nothing was published");
}

fn the_first_of_two_replaces_the_value<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let [first, second] = [(); 2].map(|()| {
        let retired = object.begin_run_down().wait(&Spin);
        retired.expect("drained")
    });
    assert_eq!(first.replace(8).expect("the first"), 7);
    // Closed and drained again: but that is the next generation's value.
    object.close();
    assert_eq!(second.take(), Err(RunDownError::Taken));
    assert_eq!((object.state(), object.run_down(&Spin)), (State::Drained, Ok(8)));
}

fn try_run_down_never_waits<R: Make>() {
    let object = Protected::new(*R::make(), 7);
    let guard = object.try_acquire().expect("open");
    match object.try_run_down() {
        Err(RunDownError::Outstanding(guards)) => {
            assert_eq!((guards.state, guards.held), (State::Draining, 1));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(*guard, 7);
    drop(guard);
    assert_eq!(object.try_run_down(), Ok(7));
    assert_eq!(object.try_run_down(), Err(RunDownError::Taken));
}

/// The owner of the first value is late: another one has run it down, and published another one.
fn a_late_run_down_leaves_the_next_generation_alone<R: Make>() {
    let object = Protected::vacant(*R::make_closed());
    let first = object.publish(1).expect("vacant");
    assert_eq!(object.generation(), first);
    assert_eq!(object.run_down(&Spin), Ok(1));
    let second = object.publish(2).expect("run down");
    assert_ne!(first, second);
    let mut late = object.begin_run_down_of(first);
    let retired = late.poll().expect("over").expect("not cancelled");
    assert_eq!(retired.take(), Err(RunDownError::Taken));
    let ended = late.wait(&Park).and_then(|retired| retired.take());
    assert_eq!(ended, Err(RunDownError::Taken));
    assert_eq!(object.state(), State::Open, "it was closed");
    assert_eq!(*object.try_acquire().expect("open"), 2);
    let refused = object.begin_run_down_of(first).wait(&Spin).expect("over");
    assert_eq!(refused.replace(3).expect_err("not its own").value, 3);
    // Closed, too.
    object.close();
    let refused = object.begin_run_down_of(first).wait(&Spin).expect("over");
    assert_eq!(refused.take(), Err(RunDownError::Taken));
    let own = object.begin_run_down_of(second).wait(&Spin).expect("drained");
    assert_eq!(own.take(), Ok(2));
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
    let mut run_down = object.begin_run_down_of(generation);
    assert!(run_down.poll().is_none());
    drop(guard);
    assert_eq!(run_down.wait(&Spin).expect("drained").take(), Ok(1));
    let again = object.begin_run_down_of(generation).wait(&Spin);
    assert_eq!(again.expect("over").take(), Err(RunDownError::Taken));
    assert_eq!(object.state(), State::RunDown);
}

fn an_end_of_the_first_generation_does_not_take_from_the_next<R: Make>() {
    let object = Protected::new(*R::make_closed(), 1);
    let born_closed = object.begin_run_down().wait(&Spin).expect("run down");
    let opened = object.open().expect("born closed");
    object.close();
    assert_eq!(born_closed.take(), Err(RunDownError::Taken));
    let own = object.begin_run_down_of(opened).wait(&Spin).expect("drained");
    assert_eq!(own.take(), Ok(1));
}

/// Without being opened: it was born closed, and is to go.
fn a_value_that_it_was_born_with_is_taken<R: Make>() {
    let object = Protected::new(*R::make_closed(), 7);
    let refused = object.publish(8).expect_err("it holds a value");
    assert_eq!((refused.value, refused.reason.found), (8, State::RunDown));
    assert_eq!(object.close(), CloseOutcome::AlreadyClosed);
    assert_eq!(object.run_down(&Spin), Ok(7));
    assert_eq!(object.run_down(&Spin), Err(RunDownError::Taken));
    object.open().expect_err("its value is out");
    object.publish(8).expect("run down");
    assert_eq!(object.run_down(&Spin), Ok(8));
    // Or it is replaced.
    let object = Protected::new(*R::make_closed(), 7);
    assert_eq!(object.replace(&Spin, 8).expect("run down"), 7);
    assert_eq!(*object.try_acquire().expect("open"), 8);
}
