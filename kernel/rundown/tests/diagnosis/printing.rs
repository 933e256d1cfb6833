//! The lines that are printed, and when.
#![expect(
    clippy::boxed_local,
    reason = "an object that is moved would be another one, and some tests drop theirs"
)]

use std::mem;

use rundown::diagnosis::{HolderReport, holders};
use rundown::{CacheAwareRundown, Protected, Rundown, Slot, Spin, WaitOutcome};

use crate::platform::{
    CacheAware, Make, Plain, Watched, alone, facts, on, on_every_variant, printed,
};
use crate::script::script;

on_every_variant!(
    a_forgotten_guard_is_printed_when_its_object_is_dropped,
    a_missed_deadline_prints_the_holders,
    a_wait_by_the_holders_own_cpu_is_warned_of,
    every_wait_is_warned_of_where_it_waits,
    a_wait_on_another_cpu_is_not_warned_of,
);

fn the_one_text() -> String {
    let mut printed = printed();
    assert_eq!(printed.len(), 1, "{printed:#?}");
    printed.remove(0)
}

/// And what was taken without a guard.
fn a_forgotten_guard_is_printed_when_its_object_is_dropped<R: Make>(object: Box<Rundown<R>>) {
    on(3, 42);
    let id = object.id();
    let (_, guard) = (mem::forget(object.try_acquire_many(2)), line!());
    on(4, 43);
    let (_, raw) = (object.acquire().expect("open"), line!());
    object.close();
    assert_eq!(facts(id), [(3, 42, 2, false), (4, 43, 1, true)], "they stay listed");
    assert_eq!(printed(), [""; 0]);
    drop(object);
    let text = the_one_text();
    let start = format!("rundown: dropped while held: the object at {id} is draining, 3 held\n");
    assert!(text.starts_with(&start), "{text}");
    let guard = format!("\n  2 held since tick 42 on CPU 3, taken at {}:{guard}:", file!());
    let raw =
        format!("\n  1 held since tick 43 on CPU 4, taken without a guard at {}:{raw}:", file!());
    assert!(text.contains(&guard) && text.contains(&raw), "{text}");
    assert_eq!(facts(id), []);
}

#[test]
fn the_next_object_at_an_address_inherits_nothing() {
    let _alone = alone();
    let mut place = Box::new(Plain::new());
    mem::forget(place.try_acquire());
    place.acquire().expect("open");
    assert_eq!(facts(place.id()).len(), 2);
    // Drops the old one where it is.
    *place = Plain::new();
    assert_eq!(facts(place.id()), []);
    assert!(the_one_text().contains("dropped while held"));
    // The new one is diagnosed like any other, and dropped in silence: it is free.
    let guard = place.try_acquire();
    assert_eq!(facts(place.id()).len(), 1);
    drop(guard);
    drop(place);
    assert_eq!(printed(), [""; 0]);
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

/// The wait at this line was warned of, and nothing else was printed; the rest of the text.
fn warned_of(line: u32) -> String {
    let text = the_one_text();
    let start = format!("rundown: the wait at {}:{line}:", file!());
    assert!(text.starts_with(&start), "{text}\nshould start with\n{start}");
    text[start.len()..].to_owned()
}

fn a_wait_by_the_holders_own_cpu_is_warned_of<R: Make>(object: Box<Rundown<R>>) {
    let id = object.id();
    on(5, 1);
    object.acquire().expect("open");
    let holder = holders(id).next().expect("one").to_string();
    on(6, 2);
    let other = object.try_acquire();
    on(5, 3);
    let policy = script(|| {
        drop(other);
        // SAFETY: acquired above.
        unsafe { object.release() }
    });
    let (outcome, line) = (object.wait(&policy), line!());
    assert_eq!(outcome, WaitOutcome::Drained, "it waits on");
    let rest = format!(
        " may wait for itself: the object at {id} is held by the same CPU, 5\n  {holder}\n  \
         no harm if that was handed over to another CPU or thread; it waits on"
    );
    let text = warned_of(line);
    assert!(text.ends_with(&rest), "{text}\nshould end with\n{rest}");
}

fn every_wait_is_warned_of_where_it_waits<R: Make>(object: Box<Rundown<R>>) {
    let far = u64::MAX;
    let object = Protected::new(*object, 7);
    /// How it ends.
    macro_rules! warned {
        ($policy:ident => $wait:expr) => {{
            let guard = object.try_acquire();
            let $policy = script(|| drop(guard));
            let (ended, line) = ($wait, line!());
            warned_of(line);
            ended
        }};
    }
    assert_eq!(warned!(policy => object.replace(&policy, 8)).expect("drained"), 7);
    assert_eq!(warned!(policy => object.run_down(&policy)), Ok(8));
    object.publish(9).expect("run down");
    assert_eq!(warned!(policy => object.wait(&policy)), WaitOutcome::Drained);
    object.reinit().expect("drained");
    assert_eq!(warned!(policy => object.wait_deadline(&policy, far)), Ok(WaitOutcome::Drained));
    object.reinit().expect("drained");
    assert_eq!(warned!(policy => object.drain().wait(&policy)), WaitOutcome::Drained);
    object.reinit().expect("drained");
    let ended = warned!(policy => object.drain().wait_deadline(&policy, far));
    assert_eq!(ended, Ok(WaitOutcome::Drained));
    object.reinit().expect("drained");
    let retired = warned!(policy => object.begin_run_down().wait(&policy));
    assert_eq!(retired.expect("drained").replace(8).expect("ours"), 9);
    let retired = warned!(policy => object.begin_run_down().wait_deadline(&policy, far));
    assert_eq!(retired.expect("in time").take(), Ok(8));
}

/// Nor is one for a free object while another one is held.
fn a_wait_on_another_cpu_is_not_warned_of<R: Make>(object: Box<Rundown<R>>) {
    on(5, 1);
    let guard = object.try_acquire();
    on(6, 1);
    assert_eq!(object.wait(&script(|| drop(guard))), WaitOutcome::Drained);
    let other = Plain::new();
    let _guard = other.try_acquire();
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
    assert_eq!(HolderReport(&object).to_string(), text);
    assert_eq!(format!("{:?}", HolderReport(&object)), text);
    let text = format!("{:?}", holders(object.id()).collect::<Vec<_>>());
    assert!(text.starts_with("[Holder { location: Location {"), "{text}");
    let end = "cpu: 1, tick: 10, count: 2, raw: false, tag: Tag(0) }]";
    assert!(text.ends_with(end), "{text}");
    drop(guard);
    // One counter is not said twice.
    let plain = Plain::new();
    let text = format!("the object at {} is open, 0 held", plain.id());
    assert_eq!(HolderReport(&plain).to_string(), text);
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
