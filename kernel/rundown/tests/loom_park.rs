//! Models of what `Park` sleeps on, `src/host/event_count.rs`: no wake-up is lost (S2), also by a waiter
//! that is between its look and its sleep. A lost one is a deadlock, which loom reports.
#![cfg(rundown_loom)]

#[path = "../src/host/event_count.rs"]
#[allow(clippy::duplicate_mod, reason = "the crate leaves it out of models")]
mod event_count;
mod models;
#[path = "../src/primitive.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the event count uses a part of it"
)]
mod primitive;

use event_count::EventCount;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use models::{Make, models, spawn};
use rundown::{CacheAware, ObjectId, Plain, Platform, Slot, Wait, WaitOutcome, Waiting};
use std::time::Duration;

/// No release and no acquire: what makes the write visible is the event count alone.
#[derive(Clone)]
struct Flags(Arc<(EventCount, [AtomicBool; 2])>);

impl Flags {
    fn new() -> Self {
        Self(Arc::new((EventCount::new(), Default::default())))
    }

    fn raise(&self, flag: usize) {
        self.0.1[flag].store(true, Ordering::Relaxed);
        self.0.0.signal();
    }

    fn wait_for(&self, flag: usize) {
        let mut ready = || self.0.1[flag].load(Ordering::Relaxed);
        self.0.0.wait_until(&mut ready, || Duration::MAX);
    }
}

#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let flags = Flags::new();
        let waker = flags.clone();
        let waker = thread::spawn(move || waker.raise(0));
        flags.wait_for(0);
        waker.join().unwrap();
    });
}

/// Two objects share it. The waiter for the second flag may be woken for the first.
#[test]
fn every_waiter_is_woken() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let flags = Flags::new();
        let other = flags.clone();
        let other = thread::spawn(move || other.wait_for(1));
        let waker = flags.clone();
        let waker = thread::spawn(move || {
            waker.raise(0);
            waker.raise(1);
        });
        flags.wait_for(0);
        waker.join().unwrap();
        other.join().unwrap();
    });
}

loom::lazy_static! {
    static ref BELL: EventCount = EventCount::new();
}

/// Whose waiters park.
struct Parking;

impl Platform for Parking {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {
        BELL.signal();
    }
}

struct Park;

impl Wait for Park {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        BELL.wait_until(ready, || Duration::MAX);
    }
}

models!(@variant plain, super::Plain<super::Parking>,
    the_last_release_wakes bound: 3, the_closer_wakes_the_other_waiter bound: 3);
models!(@variant slots_1, super::CacheAware<super::Parking, [super::Slot; 1]>,
    the_last_release_wakes bound: 3, the_closer_wakes_the_other_waiter bound: 3);

fn the_last_release_wakes<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire().unwrap();
    let user = {
        let rundown = Arc::clone(&rundown);
        // SAFETY: acquired above.
        thread::spawn(move || unsafe { rundown.release() })
    };
    assert_eq!(rundown.wait(&Park), WaitOutcome::Drained);
    user.join().unwrap();
}

fn the_closer_wakes_the_other_waiter<R: Make>() {
    let rundown = Arc::new(R::new());
    let waiter = spawn(&rundown, |rundown| rundown.wait(&Park));
    rundown.close();
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Drained);
}
