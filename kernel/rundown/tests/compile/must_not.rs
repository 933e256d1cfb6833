//! No way in safe code to unbalance, to outlive the drain, or to touch a value after it. The
//! compiler refuses each line with `//~`, for the reason that stands there, and no other.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard};

use rundown::{
    Awaited, Completion, Guard, ObjectId, Plain, PlainRundown, Platform, Protected, Reach, Rundown, Slot, Slots, Spin,
    Variant,
};

/// It has no clock and no wakers.
struct Bare;

impl Platform for Bare {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {}
}

type Object = PlainRundown<Bare>;

fn with<T>(value: T) -> Protected<T, Plain<Bare>> {
    Protected::new(Object::new(), value)
}

fn send<T: Send>(_: T) {}

fn share<T: Sync>(_: &T) {}

fn a_completion_that_is_not_static_is_left(object: &Object) {
    let completion = Completion::of(|| {});
    object.close_then(&completion).unwrap(); //~ error[E0597]: `completion` does not live long enough
}

fn a_completion_with_a_context_without_unsafe(run: unsafe fn(*mut ())) {
    let _ = Completion::new(run, std::ptr::null_mut()); //~ error[E0133]: call to unsafe function
}

fn a_holders_acquire_without_unsafe(object: &Object) {
    object.acquire_held().unwrap(); //~ error[E0133]: call to unsafe function
}

fn a_release_without_unsafe(object: &Object) {
    object.acquire().unwrap();
    object.release(); //~ error[E0133]: call to unsafe function
    object.release_many(1); //~ error[E0133]: call to unsafe function
}

fn a_guard_is_used_after_it_was_given_away(object: &Object) {
    let guards = object.try_acquire_many(2).unwrap();
    drop(guards);
    drop(guards); //~ error[E0382]: use of moved value: `guards`
}

fn a_guard_outlives_its_object() {
    let object = Object::new();
    let guard = object.try_acquire();
    drop(object); //~ error[E0505]: cannot move out of `object` because it is borrowed
    drop(guard);
}

fn a_wait_outlives_its_object() {
    let object = Object::new();
    let mut drain = object.drain();
    drop(object); //~ error[E0505]: cannot move out of `object` because it is borrowed
    drain.poll();
}

fn a_value_is_used_after_its_guard() {
    let object = with(String::new());
    let guard = object.try_acquire().unwrap();
    let value: &String = &guard;
    drop(guard); //~ error[E0505]: cannot move out of `guard` because it is borrowed
    println!("{value}");
}

fn a_mapped_part_is_used_after_its_guard() {
    let object = with((1, 2));
    let first = Guard::map(object.try_acquire().unwrap(), |pair| &pair.0);
    let value: &i32 = &first;
    drop(first); //~ error[E0505]: cannot move out of `first` because it is borrowed
    println!("{value}");
}

fn a_part_escapes_while_it_is_mapped() {
    let object = with(7);
    let mut escaped = None;
    let guard = Guard::map(object.try_acquire().unwrap(), |value| {
        escaped = Some(value); //~ error[E0521]: borrowed data escapes outside of closure
        value
    });
    drop(guard);
    println!("{escaped:?}");
}

fn a_retired_value_is_taken_after_its_object() {
    let object = with(String::new());
    let retired = object.begin_run_down().wait(&Spin).unwrap();
    drop(object); //~ error[E0505]: cannot move out of `object` because it is borrowed
    drop(retired.take());
}

fn a_retired_value_is_taken_twice() {
    let object = with(String::new());
    let retired = object.begin_run_down().wait(&Spin).unwrap();
    let first = retired.take();
    let second = retired.take(); //~ error[E0382]: use of moved value: `retired`
    drop((first, second));
}

fn a_guard_of_a_value_that_is_not_sync_is_sent() {
    let object = with(Cell::new(7));
    send(object.try_acquire().unwrap()); //~ error[E0277]: `Cell<{integer}>` cannot be shared between threads safely
}

fn an_owned_guard_of_a_value_that_is_not_sync_is_sent() {
    let object = Arc::new(with(Cell::new(7)));
    send(object.try_acquire_owned().unwrap()); //~ error[E0277]: `Cell<{integer}>` cannot be shared between threads safely
}

fn an_owned_guard_of_a_value_that_borrows() {
    let text = String::from("gone");
    let object = Arc::new(with(text.as_str()));
    let guard = object.try_acquire_owned().unwrap();
    drop(text); //~ error[E0505]: cannot move out of `text` because it is borrowed
    println!("{}", *guard);
}

fn an_object_with_a_value_that_is_not_send_is_shared(mutex: &Mutex<i32>) {
    let object: Protected<MutexGuard<'_, i32>, _> = with(mutex.lock().unwrap());
    share(&object); //~ error[E0277]: `std::sync::MutexGuard<'_, i32>` cannot be sent between threads safely
}

fn a_platform_without_a_clock_has_no_deadlines(object: &Object) {
    let _ = object.wait_deadline(&Spin, 0); //~ error[E0277]: the trait bound `Bare: Clock` is not satisfied
}

async fn a_platform_without_wakers_is_awaited(object: &Object) {
    let _ = object.drain().await; //~ error[E0277]: the trait bound `Bare: AsyncPlatform` is not satisfied
}

struct Mine;

impl Variant for Mine {} //~ error[E0277]: the trait bound `Mine: rundown::variant::Sealed` is not satisfied

impl Awaited for Mine { //~ error[E0277]: the trait bound `Mine: Reach` is not satisfied
    type End = ();
    type InTime = ();
}

fn a_variants_step_from_outside(object: &Object) {
    <Plain<Bare> as Variant>::reset_slots(object); //~ error[E0133]: call to unsafe function
}

fn an_owners_step_from_outside<V: Variant>(object: &Rundown<V>) {
    let _ = object.gate.finish_reopen(0); //~ error[E0616]: field `gate` of struct `Rundown` is private
}

/// `close_all` asks twice which object an entry of its list is, and a guard at each step: the
/// answer must be the same each time.
#[derive(Clone)]
struct Flip<'a>(&'a Object, &'a Object, Cell<bool>);

impl Reach for Flip<'_> { //~ error[E0277]: the trait bound `Flip<'_>: rundown::variant::Sealed` is not satisfied
    type Variant = Plain<Bare>;

    fn rundown(&self) -> &Object {
        if self.2.replace(true) { self.1 } else { self.0 }
    }
}

/// Two objects could share them.
fn slots_from_outside(slots: &'static [Slot]) {
    fn hold<S: Slots>(_: S) {}
    hold(slots); //~ error[E0277]: the trait bound `&[Slot]: Slots` is not satisfied
}

fn main() {}
