//! Guards of a `Protected`: where they may go, and what they may be narrowed to.
#![cfg(not(rundown_loom))]

mod support;

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rundown::{Guard, Guards, OwnedGuard, Park, Protected, RefGuard, Rundown, Spin, WaitOutcome};
use support::{Inline, Make, Plain, Script, for_every_sized_variant, panic_of};

for_every_sized_variant!(
    a_guard_may_move_to_another_thread,
    mapped_guards_protect,
    a_map_that_panics_releases,
);

fn a_guard_may_move_to_another_thread<R: Make>() {
    let object = Protected::new(*R::make(), AtomicUsize::new(0));
    R::on_cpu(0);
    let guard = object.try_acquire().expect("open");
    thread::scope(|scope| {
        scope.spawn(move || {
            R::on_cpu(1);
            // Visible to the owner, although nothing but the release orders it.
            guard.store(7, Ordering::Relaxed);
            drop(guard);
        });
        assert_eq!(object.run_down(&Park).map(AtomicUsize::into_inner), Ok(7));
    });
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
        drop(Guard::map(guard, |_: &i32| -> &i32 {
            panic!("no such part")
        }));
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
