//! What is printed, and when.
#![expect(
    clippy::boxed_local,
    reason = "an object that is moved would be another one, and some tests drop theirs"
)]

use std::cell::Cell;
use std::mem;

use rundown::diagnosis::{Report, holders};
use rundown::{CacheAwareRundown, Protected, Rundown, Slot, Spin, Wait, WaitOutcome, Waiting};

use crate::platform::{
    CacheAware, Make, Plain, Watched, alone, facts, on, on_every_variant, printed,
};

on_every_variant!(
    a_forgotten_guard_is_printed_when_its_object_is_dropped,
    a_raw_acquire_is_printed_when_its_object_is_dropped,
    an_object_that_is_free_is_dropped_in_silence,
    the_next_object_at_an_address_inherits_nothing,
    a_missed_deadline_prints_the_holders,
    a_wait_by_the_holders_own_cpu_is_warned_of,
    every_wait_is_warned_of_where_it_waits,
    a_wait_on_another_cpu_is_not_warned_of,
    a_wait_for_a_free_object_is_not_warned_of,
);

/// Waits for nothing but `then`, which must make the object ready.
struct Until<F>(Cell<Option<F>>);

impl<F: FnOnce()> Wait for Until<F> {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        assert!(!ready());
        self.0.take().expect("one wait")();
        assert!(ready());
    }
}

fn until<F: FnOnce()>(then: F) -> Until<F> {
    Until(Cell::new(Some(then)))
}

fn the_one_text() -> String {
    let mut printed = printed();
    assert_eq!(printed.len(), 1, "{printed:#?}");
    printed.remove(0)
}

fn a_forgotten_guard_is_printed_when_its_object_is_dropped<R: Make>(object: Box<Rundown<R>>) {
    on(3, 42);
    let id = object.id();
    let (_, line) = (mem::forget(object.try_acquire_many(2)), line!());
    object.close();
    assert_eq!(facts(id), [(3, 42, 2, false)], "it stays listed");
    assert_eq!(printed(), [""; 0]);
    drop(object);
    let text = the_one_text();
    let start = format!("rundown: dropped while held: the object at {id} is draining, 2 held\n");
    assert!(text.starts_with(&start), "{text}");
    let holder = "\n  2 held since tick 42 on CPU 3, taken at ";
    let end = format!("{holder}{}:{line}:", file!());
    assert!(text.contains(&end), "{text}");
    assert_eq!(facts(id), []);
}

fn a_raw_acquire_is_printed_when_its_object_is_dropped<R: Make>(object: Box<Rundown<R>>) {
    on(1, 7);
    let id = object.id();
    let (_, line) = (object.acquire().expect("open"), line!());
    drop(object);
    let holder = "\n  1 held since tick 7 on CPU 1, taken without a guard at ";
    let end = format!("{holder}{}:{line}:", file!());
    let text = the_one_text();
    assert!(text.contains(&end), "{text}");
    assert_eq!(facts(id), []);
}

fn an_object_that_is_free_is_dropped_in_silence<R: Make>(object: Box<Rundown<R>>) {
    drop(object.try_acquire());
    object.acquire_many(2).expect("open");
    // SAFETY: the two taken above.
    unsafe { object.release_many(2) };
    drop(object);
    assert_eq!(printed(), [""; 0]);
}

fn the_next_object_at_an_address_inherits_nothing<R: Make>(mut place: Box<Rundown<R>>) {
    mem::forget(place.try_acquire());
    place.acquire().expect("open");
    assert_eq!(facts(place.id()).len(), 2);
    // Drops the old one where it is.
    *place = R::make().expect("there was one");
    assert_eq!(facts(place.id()), []);
    assert!(the_one_text().contains("dropped while held"));
    // The new one is diagnosed like any other.
    let guard = place.try_acquire();
    assert_eq!(facts(place.id()).len(), 1);
    drop(guard);
}

fn a_missed_deadline_prints_the_holders<R: Make>(object: Box<Rundown<R>>) {
    on(1, 100);
    let guard = object.try_acquire();
    let location = holders(object.id()).next().expect("one").location;
    on(2, 200);
    let missed = object.wait_deadline(&Spin, 150).expect_err("held");
    let text = format!(
        "the object at {} is draining, 1 held\n  1 held since tick 100 on CPU 1, taken at {location}",
        object.id()
    );
    assert_eq!(missed.to_string(), text);
    assert_eq!(the_one_text(), format!("rundown: deadline missed: {text}"));
    drop(guard);
    assert_eq!(object.wait_deadline(&Spin, 150), Ok(WaitOutcome::Drained));
    assert_eq!(printed(), [""; 0]);
}

/// The wait at this location was warned of, and nothing else was printed.
fn assert_warned<R: Make>(object: &Rundown<R>, line: u32, cpu: usize, holders: &str) {
    let file = file!();
    let text = the_one_text();
    let start = format!("rundown: the wait at {file}:{line}:");
    assert!(text.starts_with(&start), "{text}");
    let id = object.id();
    let rest = format!(
        " may wait for itself: the object at {id} is held by the same CPU, {cpu}\n  {holders}\n  \
         no harm if that was handed over to another CPU or thread; it waits on"
    );
    assert!(text.ends_with(&rest), "{text}\nshould end with\n{rest}");
}

fn a_wait_by_the_holders_own_cpu_is_warned_of<R: Make>(object: Box<Rundown<R>>) {
    on(5, 1);
    let guard = object.try_acquire();
    let holder = holders(object.id()).next().expect("one").to_string();
    on(6, 2);
    let other = object.try_acquire();
    on(5, 3);
    let (outcome, line) = (object.wait(&until(|| drop((guard, other)))), line!());
    assert_eq!(outcome, WaitOutcome::Drained, "it waits on");
    assert_warned(&*object, line, 5, &holder);

    object.reinit().expect("drained");
    let guard = object.try_acquire();
    let holder = holders(object.id()).next().expect("one").to_string();
    let policy = until(|| drop(guard));
    let (outcome, line) = (object.wait_deadline(&policy, 9), line!());
    assert_eq!(outcome, Ok(WaitOutcome::Drained));
    assert_warned(&*object, line, 5, &holder);

    object.reinit().expect("drained");
    object.acquire().expect("open");
    let holder = holders(object.id()).next().expect("one").to_string();
    let mut drain = object.drain();
    // SAFETY: the one just taken.
    let policy = until(|| unsafe { object.release() });
    let (outcome, line) = (drain.wait(&policy), line!());
    assert_eq!(outcome, WaitOutcome::Drained);
    assert_warned(&*object, line, 5, &holder);
}

/// Of the warning, only where the wait is.
fn assert_warned_at(line: u32) {
    let start = format!("rundown: the wait at {}:{line}:", file!());
    let text = the_one_text();
    assert!(text.starts_with(&start), "{text}\nshould start with\n{start}");
}

fn every_wait_is_warned_of_where_it_waits<R: Make>(object: Box<Rundown<R>>) {
    let far = u64::MAX;
    let object = Protected::new(*object, 7);
    let guard = object.try_acquire();
    let (before, line) = (object.replace(&until(|| drop(guard)), 8), line!());
    assert_eq!(before.expect("drained"), 7);
    assert_warned_at(line);
    let guard = object.try_acquire();
    let (value, line) = (object.run_down(&until(|| drop(guard))), line!());
    assert_eq!(value, Ok(8));
    assert_warned_at(line);
    object.publish(9).expect("run down");
    let guard = object.try_acquire();
    let (outcome, line) = (object.wait(&until(|| drop(guard))), line!());
    assert_eq!(outcome, WaitOutcome::Drained);
    assert_warned_at(line);
    // Begun before.
    object.reinit().expect("drained");
    let guard = object.try_acquire();
    let mut drain = object.drain();
    let policy = until(|| drop(guard));
    let (outcome, line) = (drain.wait_deadline(&policy, far), line!());
    assert_eq!(outcome, Ok(WaitOutcome::Drained));
    assert_warned_at(line);
    object.reinit().expect("drained");
    let guard = object.try_acquire();
    let mut run_down = object.begin_run_down();
    let (retired, line) = (run_down.wait(&until(|| drop(guard))), line!());
    assert_eq!(retired.expect("drained").replace(8).expect("ours"), 9);
    assert_warned_at(line);
    let guard = object.try_acquire();
    let policy = until(|| drop(guard));
    let mut run_down = object.begin_run_down();
    let (retired, line) = (run_down.wait_deadline(&policy, far), line!());
    assert_eq!(retired.expect("in time").take(), Ok(8));
    assert_warned_at(line);
}

fn a_wait_on_another_cpu_is_not_warned_of<R: Make>(object: Box<Rundown<R>>) {
    on(5, 1);
    let guard = object.try_acquire();
    on(6, 1);
    assert_eq!(object.wait(&until(|| drop(guard))), WaitOutcome::Drained);
    assert_eq!(printed(), [""; 0]);
}

fn a_wait_for_a_free_object_is_not_warned_of<R: Make>(object: Box<Rundown<R>>) {
    // Another object is held.
    let other = Plain::new();
    let _guard = other.try_acquire();
    drop(object.try_acquire());
    assert_eq!(object.wait(&Spin), WaitOutcome::Drained);
    assert_eq!(printed(), [""; 0]);
}

#[test]
fn a_report_shows_state_counts_and_holders() {
    let _alone = alone();
    let object = CacheAware::new();
    on(1, 10);
    let guard = object.try_acquire_many(2);
    object.close();
    let holder = holders(object.id()).next().expect("one").to_string();
    let text = format!(
        "the object at {} is draining, 2 held\n  by slot, where not zero: {{1: 2}}\n  {holder}",
        object.id()
    );
    assert_eq!(Report(&object).to_string(), text);
    assert_eq!(format!("{:?}", Report(&object)), text);
    drop(guard);
}

#[test]
fn a_report_of_one_counter_does_not_say_it_twice() {
    let _alone = alone();
    let object = Plain::new();
    let text = format!("the object at {} is open, 0 held", object.id());
    assert_eq!(Report(&object).to_string(), text);
}

#[test]
fn holders_show_everything_in_debug() {
    let _alone = alone();
    let object = Plain::new();
    on(4, 9);
    let _guard = object.try_acquire();
    let text = format!("{:?}", holders(object.id()).collect::<Vec<_>>());
    assert!(text.starts_with("[Holder { location: Location {"), "{text}");
    let end = "cpu: 4, tick: 9, count: 1, raw: false, tag: Tag(0) }]";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn slots_elsewhere_are_dropped_after_the_report() {
    let _alone = alone();
    on(2, 0);
    let object = Box::new(CacheAwareRundown::boxed(3));
    let _: &CacheAwareRundown<Watched, Box<[Slot]>> = &object;
    object.acquire_many(4).expect("open");
    drop(object);
    let text = the_one_text();
    assert!(text.contains("\n  by slot, where not zero: {2: 4}\n"), "{text}");
}
