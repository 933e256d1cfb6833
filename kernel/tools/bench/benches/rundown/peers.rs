//! Other crates, each used as its documentation advises, to look once at a value that may be torn
//! down. Memory is what one object needs besides its value; what the epoch and hazard libraries keep
//! per thread, for all objects together, is not in it.
//!
//! `TaskTracker` guards no value: it counts tasks, and closing it refuses none.
//!
//! `unsafe` here: some libraries give pointers.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use arc_swap::ArcSwap;
use bench::{Contender, Group, Memory, Object, names};
use left_right::Absorb;
use seize::Guard as _;
use tokio_util::task::TaskTracker;

use crate::limits::look;

/// The strong and the weak count in front of the value.
type ArcCounts = [AtomicUsize; 2];

pub(crate) fn contenders() -> Vec<Contender> {
    vec![
        peer(names::ARC, Memory::of::<ArcCounts>(), arc),
        peer("std RwLock, read", Memory::of::<RwLock<()>>(), std_lock),
        peer(
            "parking_lot RwLock, read",
            Memory::of::<parking_lot::RwLock<()>>(),
            parking_lot_lock,
        ),
        peer(
            "arc-swap, load",
            Memory::of::<(ArcSwap<()>, ArcCounts)>(),
            arc_swap,
        ),
        peer(
            names::CROSSBEAM,
            Memory::of::<crossbeam_epoch::Atomic<u64>>(),
            crossbeam,
        ),
        peer(
            "haphazard, pointer reused",
            Memory::of::<haphazard::AtomicPtr<u64>>(),
            hazard_pointer,
        ),
        peer("seize, enter", Memory::of::<AtomicPtr<u64>>(), seize),
        peer("kovan, pin", Memory::of::<kovan::Atomic<u64>>(), kovan),
        peer("sdd, guard", Memory::of::<sdd::AtomicOwned<u64>>(), sdd),
        peer("left-right, enter", None, left_right),
        peer("tokio TaskTracker, token", None, task_tracker),
    ]
}

fn peer(
    name: &'static str,
    memory: impl Into<Option<Memory>>,
    object: fn() -> Object,
) -> Contender {
    Contender {
        name,
        group: Group::Peer,
        memory: memory.into(),
        object,
    }
}

fn arc() -> Object {
    let value = Arc::new(1_u64);
    Box::new(move |watch| {
        watch.pairs(|| {
            look(*Arc::clone(&value));
        });
    })
}

fn std_lock() -> Object {
    let value = RwLock::new(1_u64);
    Box::new(move |watch| {
        watch.pairs(|| {
            look(*value.read().expect("nobody panics"));
        });
    })
}

fn parking_lot_lock() -> Object {
    let value = parking_lot::RwLock::new(1_u64);
    Box::new(move |watch| {
        watch.pairs(|| {
            look(*value.read());
        });
    })
}

fn arc_swap() -> Object {
    let value = ArcSwap::from_pointee(1_u64);
    Box::new(move |watch| {
        watch.pairs(|| {
            look(**value.load());
        });
    })
}

fn crossbeam() -> Object {
    let value = crossbeam_epoch::Atomic::new(1_u64);
    Box::new(move |watch| {
        watch.pairs(|| {
            let guard = crossbeam_epoch::pin();
            let value = value.load(Ordering::Acquire, &guard);
            // SAFETY: it is never null, and lives as long as the object.
            look(*unsafe { value.deref() });
        });
    })
}

fn hazard_pointer() -> Object {
    let value = haphazard::AtomicPtr::from(Box::new(1_u64));
    Box::new(move |watch| {
        let mut hazard = haphazard::HazardPointer::new();
        watch.pairs(|| {
            look(*value.safe_load(&mut hazard).expect("never null"));
            hazard.reset_protection();
        });
    })
}

fn seize() -> Object {
    let collector = seize::Collector::new();
    let value = AtomicPtr::new(Box::into_raw(Box::new(1_u64)));
    Box::new(move |watch| {
        watch.pairs(|| {
            let guard = collector.enter();
            let value = guard.protect(&value, Ordering::Acquire);
            // SAFETY: it is never null, and is never freed.
            look(unsafe { *value });
        });
    })
}

fn kovan() -> Object {
    let value = kovan::Atomic::new(Box::into_raw(Box::new(1_u64)));
    Box::new(move |watch| {
        watch.pairs(|| {
            let guard = kovan::pin();
            let value = value.load(Ordering::Acquire, &guard);
            // SAFETY: it is never null, and is never freed.
            look(*unsafe { value.deref() });
        });
    })
}

fn sdd() -> Object {
    let value = sdd::AtomicOwned::new(1_u64);
    Box::new(move |watch| {
        watch.pairs(|| {
            let guard = sdd::Guard::new();
            let value = value.load(Ordering::Acquire, &guard);
            look(*value.as_ref().expect("never null"));
        });
    })
}

/// What a writer of the left-right pair does: it adds.
struct Add(u64);

impl Absorb<Add> for u64 {
    fn absorb_first(&mut self, add: &mut Add, _: &Self) {
        *self += add.0;
    }

    fn sync_with(&mut self, first: &Self) {
        *self = *first;
    }
}

fn left_right() -> Object {
    let (mut writer, reader) = left_right::new::<u64, Add>();
    writer.append(Add(1)).publish();
    let readers = reader.factory();
    // Readers find nothing once it is dropped.
    let writer = Mutex::new(writer);
    Box::new(move |watch| {
        let _ = &writer;
        let reader = readers.handle();
        watch.pairs(|| {
            look(*reader.enter().expect("the writer lives"));
        });
    })
}

fn task_tracker() -> Object {
    let (tracker, value) = (TaskTracker::new(), 1_u64);
    Box::new(move |watch| {
        watch.pairs(|| {
            let token = tracker.token();
            look(value);
            drop(token);
        });
    })
}
