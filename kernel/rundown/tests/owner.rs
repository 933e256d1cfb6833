//! `Owner` and `Handle`: sharing as with an `Arc`, torn down by one.
#![cfg(not(rundown_loom))]

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rundown::{Handle, HostPlatform, Owner, Park, Spin, State};
use support::{Inline, Make, Plain, Script, executor, for_every_sized_kind, panic_of};

for_every_sized_kind!(
    the_owner_ends_it_for_every_handle,
    run_down_outlasts_guards_of_handles,
    a_missed_deadline_gives_the_owner_back,
    a_dropped_owner_closes_and_the_last_handle_drops_the_value,
    guards_outlive_a_dropped_owner,
    replace_is_seen_by_every_handle,
    a_closed_object_can_be_replaced,
    a_cancel_opens_it_for_the_handles,
    run_down_as_a_future,
    a_handle_outlives_its_value,
    an_owner_needs_an_open_rundown,
    users_on_threads_lose_nothing,
);

fn the_owner_ends_it_for_every_handle<R: Make>() {
    let owner = Owner::new(*R::make(), String::from("value"));
    let handles = [owner.handle(), owner.handle(), owner.handle().clone()];
    for handle in &handles {
        assert_eq!(handle.try_acquire().expect("open").as_str(), "value");
    }
    assert_eq!(owner.try_acquire().expect("open").as_str(), "value");
    assert_eq!(owner.run_down(&Spin), "value");
    for handle in &handles {
        assert!(handle.try_acquire().is_none());
        assert_eq!(handle.state(), State::RunDown);
    }
}

fn run_down_outlasts_guards_of_handles<R: Make>() {
    let owner = Owner::new(*R::make(), 7);
    let handle = owner.handle();
    let guard = handle.try_acquire().expect("open");
    let script = Script::new(|| {
        assert_eq!(*guard, 7);
        drop(guard);
    });
    assert_eq!(owner.run_down(&script), 7);
    assert!(script.played());
}

fn a_missed_deadline_gives_the_owner_back<R: Make>() {
    let owner = Owner::new(*R::make(), 7);
    let handle = owner.handle();
    let guard = handle.try_acquire().expect("open");
    let soon = HostPlatform::after(Duration::from_millis(1));
    let (owner, outstanding) = owner.run_down_deadline(&Park, soon).expect_err("held");
    assert_eq!(outstanding.held, 1);
    assert_eq!(owner.state(), State::Draining);
    assert!(handle.try_acquire().is_none(), "it stays closed");
    drop(guard);
    assert_eq!(owner.run_down_deadline(&Park, 0).expect("drained"), 7);
}

fn a_dropped_owner_closes_and_the_last_handle_drops_the_value<R: Make>() {
    let value = Arc::new(());
    let owner = Owner::new(*R::make(), Arc::clone(&value));
    let handles = [owner.handle(), owner.handle()];
    drop(owner);
    for handle in handles {
        assert!(handle.try_acquire().is_none());
        assert_eq!(handle.state(), State::Drained);
        assert_eq!(Arc::strong_count(&value), 2, "dropped too early");
    }
    assert_eq!(Arc::strong_count(&value), 1, "not dropped");
}

fn guards_outlive_a_dropped_owner<R: Make>() {
    let owner = Owner::new(*R::make(), 7);
    let handle = owner.handle();
    let guard = handle.try_acquire().expect("open");
    drop(owner);
    assert_eq!(*guard, 7);
    assert_eq!(handle.state(), State::Draining);
    drop(guard);
    assert_eq!(handle.state(), State::Drained);
}

fn replace_is_seen_by_every_handle<R: Make>() {
    let mut owner = Owner::new(*R::make(), 0);
    let handle = owner.handle();
    for value in 1..100 {
        assert_eq!(owner.replace(&Spin, value), value - 1);
        assert_eq!(handle.try_acquire().map(|guard| *guard), Some(value));
    }
}

fn a_closed_object_can_be_replaced<R: Make>() {
    let mut owner = Owner::new(*R::make(), 1);
    let handle = owner.handle();
    owner.close();
    assert!(handle.try_acquire().is_none());
    assert_eq!(owner.replace(&Spin, 2), 1);
    assert_eq!(handle.try_acquire().map(|guard| *guard), Some(2));
    owner.close();
    assert_eq!(owner.run_down(&Spin), 2);
}

fn a_cancel_opens_it_for_the_handles<R: Make>() {
    let mut owner = Owner::new(*R::make(), 7);
    let handle = owner.handle();
    let guard = handle.try_acquire().expect("open");
    owner.close();
    owner.cancel().expect("draining");
    assert_eq!(handle.try_acquire().map(|guard| *guard), Some(7));
    assert_eq!(
        owner.cancel().map_err(|error| error.found),
        Err(State::Open)
    );
    drop(guard);
    assert_eq!(owner.run_down(&Spin), 7);
}

fn run_down_as_a_future<R: Make>() {
    let executor = executor();
    let owner = Owner::new(*R::make(), 7);
    let handle = owner.handle();
    let (taken, wait) = std::sync::mpsc::channel();
    let user = thread::spawn(move || {
        let guard = handle.try_acquire().expect("open");
        taken.send(()).expect("the test waits");
        thread::yield_now();
        *guard
    });
    wait.recv().expect("the user has a guard");
    assert_eq!(executor.block_on(owner.run_down_async()), 7);
    assert_eq!(user.join().expect("no failure"), 7);
}

fn a_handle_outlives_its_value<R: Make>() {
    let value = Arc::new(());
    let owner = Owner::new(*R::make(), Arc::clone(&value));
    let handle = owner.handle();
    drop(owner.run_down(&Spin));
    assert_eq!(Arc::strong_count(&value), 1);
    assert!(handle.try_acquire().is_none());
}

/// Otherwise there would be calls that could not succeed.
fn an_owner_needs_an_open_rundown<R: Make>() {
    let text = panic_of(|| drop(Owner::new(*R::make_closed(), 7)));
    assert!(text.contains("needs a rundown that is open"), "{text}");
}

fn users_on_threads_lose_nothing<R: Make>() {
    let mut owner = Owner::new(*R::make(), 0_u64);
    let users: Vec<_> = (0..3)
        .map(|_| {
            let handle: Handle<u64, R> = owner.handle();
            thread::spawn(move || {
                let mut last = 0;
                while handle.state() != State::RunDown {
                    let Some(value) = handle.try_acquire() else {
                        thread::yield_now();
                        continue;
                    };
                    assert!(*value >= last, "an older value came back");
                    last = *value;
                }
            })
        })
        .collect();
    for value in 1..=300 {
        assert_eq!(owner.replace(&Park, value), value - 1);
    }
    assert_eq!(owner.run_down(&Park), 300);
    for user in users {
        user.join().expect("no failure");
    }
}

#[test]
fn they_show_their_state() {
    let owner = Owner::new(Plain::new(), 7);
    let handle = owner.handle();
    owner.close();
    assert_eq!(format!("{owner:?}"), "Owner(Drained)");
    assert_eq!(format!("{handle:?}"), "Handle(Drained)");
    fn shared<T: Send + Sync>() {}
    shared::<Owner<u64, Plain>>();
    shared::<Handle<u64, Inline<4>>>();
}
