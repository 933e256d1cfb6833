//! Diagnosis in the middle of diagnosis: the calls an NMI handler may make while it is at work.

use std::cell::Cell;

use rundown::diagnosis::{HolderReport, holders};
use rundown::{Rundown, Spin, Variant};

use crate::platform::{CacheAware, Plain, Watched, alone, facts, interrupt_by, on, printed};

static PLAIN: Plain = Plain::new();
static CACHE_AWARE: CacheAware = CacheAware::new();

thread_local! {
    static INTERRUPTS: Cell<u32> = const { Cell::new(0) };
}

/// The handler uses and lists both objects, and leaves them as they were.
fn use_both() {
    INTERRUPTS.set(INTERRUPTS.get() + 1);
    use_one(&PLAIN);
    use_one(&CACHE_AWARE);
}

fn use_one<R: Variant<Platform = Watched>>(object: &Rundown<R>) {
    let before = facts(object.id());
    let guard = object.try_acquire();
    if object.acquire_many(3).is_ok() {
        // SAFETY: the three just taken.
        unsafe { object.release_many(3) };
    }
    let listed = HolderReport(object).to_string().lines().count();
    assert!(listed > before.len());
    drop(guard);
    assert_eq!(facts(object.id()), before);
}

fn everything<R: Variant<Platform = Watched>>(object: &Rundown<R>) {
    on(1, 1);
    let guard = object.try_acquire();
    let mut many = object.try_acquire_many(3).expect("open");
    let split = many.split_off(1);
    object.acquire_many(2).expect("open");
    assert_eq!(facts(object.id()).len(), 4);
    object.wait_deadline(&Spin, 1).expect_err("held");
    assert_eq!(holders(object.id()).count(), 4);
    // SAFETY: the two taken above.
    unsafe { object.release_many(2) };
    drop((guard, many, split));
    object.reinit().expect("drained");
    assert_eq!(facts(object.id()), []);
}

#[test]
fn a_handler_may_use_what_it_interrupted_the_use_of() {
    let _alone = alone();
    interrupt_by(Some(use_both));
    everything(&PLAIN);
    everything(&CACHE_AWARE);
    // SAFETY: none. This is the misuse; plain finds it, and ignores the call.
    unsafe { PLAIN.release() };
    interrupt_by(None);
    // Hints and ticks of four acquires and of a release, and two texts, on each object.
    assert!(INTERRUPTS.get() >= 20, "{}", INTERRUPTS.get());
    let printed = printed();
    assert_eq!(printed.len(), 5);
    assert!(printed[4].contains("1 released but 0 held"), "{printed:?}");
    assert_eq!((PLAIN.racy_held(), facts(PLAIN.id())), (0, vec![]));
}
