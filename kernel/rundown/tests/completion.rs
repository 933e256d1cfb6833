//! A completion that is left with an object (S13): it runs exactly once, or comes back.
#![cfg(not(rundown_loom))]

mod support;

use std::ptr;

use rundown::{CloseThenError, Misuse, Rundown, Spin, State, WaitOutcome, WrongState};
use support::{Counted, Make, Script, brought_to, executor, for_every_variant, misuses, wake_ups};

for_every_variant!(
    s13_the_last_release_runs_it,
    s13_the_closer_runs_it_if_nothing_is_held,
    s13_it_is_left_with_a_draining_object,
    s13_the_object_is_drained_and_waiters_woken_when_it_runs,
    s13_together_with_waiters,
    s13_together_with_futures,
    s13_a_cancel_gives_it_back,
    s13_a_cancel_gives_back_nothing_else,
    s13_what_a_cancel_carried_over_and_slots_gave_back,
    s13_it_waits_for_clones,
    s13_in_every_generation_anew,
    s13_a_second_one_is_refused,
    s13_refused_in_wrong_states,
    s13_none_at_all_is_refused,
    s13_an_object_that_goes_before_never_runs_it,
    s13_an_over_release_that_ends_the_drain_runs_it_once,
    s13_an_over_release_that_the_closer_finds_runs_it_once,
    s13_a_release_of_none_ends_nothing,
    s13_it_may_leave_the_next_one,
);

/// An object that a completion may look at.
fn shared<R: Make + ?Sized>() -> &'static Rundown<R> {
    Box::leak(R::make())
}

fn wrong(found: State) -> Result<(), CloseThenError> {
    Err(CloseThenError::WrongState(WrongState { found }))
}

fn s13_the_last_release_runs_it<R: Make + ?Sized>() {
    for cpu in 0..R::slots().min(4) {
        let rundown = R::make();
        let counted = Counted::new();
        R::on_cpu(0);
        let mut guards = rundown.try_acquire_many(3).expect("open");
        let one = guards.take_one();
        assert_eq!(rundown.close_then(&counted.completion), Ok(()));
        assert!(rundown.try_acquire().is_none(), "it closes");
        for (guard, left) in [(one, 2), (guards.take_one(), 1)] {
            R::on_cpu(cpu + 1);
            drop(guard);
            assert_eq!(
                (rundown.state(), rundown.racy_held()),
                (State::Draining, left)
            );
            assert_eq!(counted.runs(), 0, "too early");
        }
        R::on_cpu(cpu);
        drop(guards);
        assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
        assert_eq!(rundown.wait(&Spin), WaitOutcome::Drained);
        assert_eq!(rundown.complete(), Ok(()));
        assert_eq!(counted.runs(), 1, "again");
    }
}

fn s13_the_closer_runs_it_if_nothing_is_held<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    R::on_cpu(0);
    let guard = rundown.try_acquire();
    R::on_cpu(1);
    drop(guard);
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
}

fn s13_it_is_left_with_a_draining_object<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    let guard = brought_to(&rundown, State::Draining);
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    assert_eq!((counted.runs(), rundown.state()), (0, State::Draining));
    assert_eq!(rundown.racy_held(), 1);
    R::on_cpu(1);
    drop(guard);
    assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
}

/// The object has drained by then, and the completion may do with it what it likes.
fn s13_the_object_is_drained_and_waiters_woken_when_it_runs<R: Make + ?Sized>() {
    let rundown = shared::<R>();
    let counted = Counted::and(|| {
        assert_eq!((rundown.state(), rundown.racy_held()), (State::Drained, 0));
        rundown.reinit().expect("drained");
    });
    let guard = rundown.try_acquire();
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    let woken = wake_ups(|| drop(guard));
    assert_eq!((counted.runs(), rundown.state()), (1, State::Open));
    // Those that wait for the drain, and those for the claim.
    assert_eq!(woken, [rundown.id(), rundown.id()]);
}

fn s13_together_with_waiters<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    let guard = rundown.try_acquire().expect("open");
    let mut early = rundown.drain();
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    let script = Script::new(|| {
        assert_eq!(early.poll(), None);
        drop(guard);
    });
    assert_eq!(rundown.wait(&script), WaitOutcome::Drained);
    assert!(script.played());
    drop(script);
    assert_eq!(early.poll(), Some(WaitOutcome::Drained));
    assert_eq!(counted.runs(), 1);
}

fn s13_together_with_futures<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    let guard = rundown.try_acquire().expect("open");
    let drain = rundown.drain();
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    std::thread::scope(|scope| {
        scope.spawn(move || drop(guard));
        assert_eq!(executor().block_on(drain), WaitOutcome::Drained);
    });
    assert_eq!(counted.runs(), 1);
}

fn s13_a_cancel_gives_it_back<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    let guard = rundown.try_acquire().expect("open");
    let mut drain = rundown.drain();
    // Reusable each time.
    for round in 0..5 {
        R::on_cpu(round);
        assert_eq!(rundown.close_then(&counted.completion), Ok(()));
        let given_back = rundown.cancel().expect("draining");
        assert!(counted.is(given_back), "{given_back:?}");
        assert_eq!((counted.runs(), rundown.state()), (0, State::Open));
        assert_eq!(rundown.racy_held(), 1);
    }
    assert_eq!(drain.poll(), Some(WaitOutcome::Cancelled));
    // The next drain ends without it.
    rundown.close();
    drop(guard);
    assert_eq!((counted.runs(), rundown.state()), (0, State::Drained));
}

fn s13_a_cancel_gives_back_nothing_else<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    let guard = rundown.try_acquire().expect("open");
    rundown.close();
    assert_eq!(rundown.cancel(), Ok(None));
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    assert!(rundown.cancel().is_ok());
    rundown.close();
    assert_eq!(rundown.cancel(), Ok(None), "given back twice");
    // The other one is not refused for the first.
    let other = Counted::new();
    assert_eq!(rundown.close_then(&other.completion), Ok(()));
    drop(guard);
    assert_eq!((counted.runs(), other.runs()), (0, 1));
    let refused = rundown.cancel();
    let found = State::Drained;
    assert_eq!(refused, Err(WrongState { found }));
}

/// The slots then count less than nothing.
fn s13_what_a_cancel_carried_over_and_slots_gave_back<R: Make + ?Sized>() {
    for released in 0..=3 {
        let rundown = R::make();
        let counted = Counted::new();
        let mut guards = rundown.try_acquire_many(3).expect("open");
        rundown.close();
        rundown.cancel().expect("draining");
        R::on_cpu(1);
        drop(guards.split_off(released));
        assert_eq!(rundown.close_then(&counted.completion), Ok(()));
        assert_eq!(rundown.racy_held(), i64::from(3 - released));
        assert_eq!(counted.runs(), usize::from(released == 3));
        drop(guards);
        assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
    }
}

fn s13_it_waits_for_clones<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    R::on_cpu(0);
    let guard = rundown.try_acquire().expect("open");
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    R::on_cpu(1);
    let clone = guard.try_clone().expect("there is room");
    drop(guard);
    assert_eq!((counted.runs(), rundown.racy_held()), (0, 1));
    R::on_cpu(2);
    drop(clone);
    assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
}

fn s13_in_every_generation_anew<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    for generation in 0..6 {
        R::on_cpu(generation);
        let guard = rundown.try_acquire().filter(|_| generation % 2 == 0);
        assert_eq!(rundown.close_then(&counted.completion), Ok(()));
        drop(guard);
        assert_eq!(counted.runs(), generation + 1);
        rundown.reinit().expect("drained");
    }
    rundown.close();
    assert_eq!(counted.runs(), 6, "it was not left this time");
}

fn s13_a_second_one_is_refused<R: Make + ?Sized>() {
    let rundown = R::make();
    let (first, second) = (Counted::new(), Counted::new());
    let guard = rundown.try_acquire();
    assert_eq!(rundown.close_then(&first.completion), Ok(()));
    for again in [&first.completion, &second.completion] {
        assert_eq!(rundown.close_then(again), Err(CloseThenError::Occupied));
        assert_eq!((rundown.state(), rundown.racy_held()), (State::Draining, 1));
    }
    drop(guard);
    assert_eq!((first.runs(), second.runs()), (1, 0));
}

fn s13_refused_in_wrong_states<R: Make + ?Sized>() {
    let never = Counted::new();
    for state in [State::Drained, State::RunDown] {
        let rundown = R::make();
        let _guard = brought_to(&rundown, state);
        assert_eq!(rundown.close_then(&never.completion), wrong(state));
        assert_eq!((rundown.state(), rundown.racy_held()), (state, 0));
        // Nothing is left behind.
        rundown.reinit().expect("drained");
        let next = Counted::new();
        assert_eq!(rundown.close_then(&next.completion), Ok(()));
        assert_eq!(next.runs(), 1);
    }
    let rundown = R::make_closed();
    assert_eq!(rundown.close_then(&never.completion), wrong(State::RunDown));
    assert_eq!(rundown.state(), State::RunDown);
    rundown.open().expect("born closed");
    assert!(rundown.try_acquire().is_some());
    assert_eq!(never.runs(), 0);
}

fn s13_none_at_all_is_refused<R: Make + ?Sized>() {
    let rundown = R::make();
    // SAFETY: it fails.
    let refused = unsafe { rundown.close_then_unchecked(ptr::null()) };
    assert_eq!(refused, Err(CloseThenError::Occupied));
    assert_eq!(rundown.state(), State::Open);
}

fn s13_an_object_that_goes_before_never_runs_it<R: Make + ?Sized>() {
    let counted = Counted::new();
    let rundown = R::make();
    std::mem::forget(rundown.try_acquire());
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    drop(rundown);
    assert_eq!(counted.runs(), 0);
}

fn s13_an_over_release_that_ends_the_drain_runs_it_once<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    let object = rundown.id();
    rundown.acquire().expect("open");
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    let found = misuses(|| {
        // SAFETY: one too many: this is the misuse. The object guards nothing.
        unsafe { rundown.release_many(2) };
    });
    let (held, released) = (1, 2);
    let over = Misuse::OverRelease {
        object,
        held,
        released,
    };
    assert_eq!(found, [over]);
    if R::PLAIN {
        // The plain variant ignores the call.
        assert_eq!((counted.runs(), rundown.state()), (0, State::Draining));
        // SAFETY: acquired above.
        unsafe { rundown.release() };
    }
    assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
    // SAFETY: another one too many.
    let found = misuses(|| unsafe { rundown.release() });
    assert_eq!((found.len(), counted.runs()), (1, 1));
}

fn s13_an_over_release_that_the_closer_finds_runs_it_once<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    // SAFETY: one too many: this is the misuse. The object guards nothing.
    let mut found = misuses(|| unsafe { rundown.release() });
    found.extend(misuses(|| {
        assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    }));
    assert_eq!(found.len(), 1);
    assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
}

fn s13_a_release_of_none_ends_nothing<R: Make + ?Sized>() {
    let rundown = R::make();
    let counted = Counted::new();
    let guard = rundown.try_acquire();
    assert_eq!(rundown.close_then(&counted.completion), Ok(()));
    // SAFETY: none are given up.
    let woken = wake_ups(|| unsafe { rundown.release_many(0) });
    assert_eq!((woken.len(), counted.runs()), (0, 0));
    drop(guard);
    // SAFETY: none are given up.
    unsafe { rundown.release_many(0) };
    assert_eq!((counted.runs(), rundown.state()), (1, State::Drained));
}

/// It may open the object, and leave another one with it.
fn s13_it_may_leave_the_next_one<R: Make + ?Sized>() {
    let rundown = shared::<R>();
    let inner = Counted::new();
    let outer = Counted::and(|| {
        rundown.reinit().expect("drained");
        let guard = rundown.try_acquire();
        assert_eq!(rundown.close_then(&inner.completion), Ok(()));
        drop(guard);
    });
    let guard = rundown.try_acquire();
    assert_eq!(rundown.close_then(&outer.completion), Ok(()));
    drop(guard);
    assert_eq!((outer.runs(), inner.runs()), (1, 1));
    assert_eq!(rundown.state(), State::Drained);
}
