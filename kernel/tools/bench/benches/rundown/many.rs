//! Many objects, picked at random; and what becomes of a value that users write.
//!
//! Slots are boxed: those of all objects in one piece were no faster. (What counts is that each is a cache
//! line of its own.)
//!
//! `unsafe` here: some peers give pointers.

use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::objects::{Crowd, shuffled, uses};
use bench::{Contender, Group, Object, names};
use rundown::{
    CacheAware, Compact, HostPlatform, Isolated, Isolation, PerCpu, Plain, Protected, Rundown,
    Slot, Variant,
};

use crate::limits::look;

type Boxed<A> = CacheAware<HostPlatform, Box<[Slot]>, A>;

fn boxed<A: Isolation>(slots: usize) -> Rundown<Boxed<A>> {
    Rundown::<Boxed<A>>::boxed(slots)
}

fn per_cpu<A: Isolation>() -> Rundown<PerCpu<HostPlatform, A>> {
    Rundown::<PerCpu<HostPlatform, A>>::new().expect("there are counters for all of them")
}

pub(crate) fn crowds() -> Vec<Crowd> {
    let mut all = vec![
        ours::<Plain<HostPlatform>>("plain", 1, 0, |count| {
            protected(count, Rundown::<Plain<HostPlatform>>::new)
        }),
        ours::<Boxed<Isolated>>("cache-aware, 2 slots, Isolated", 3, 2, |count| {
            protected(count, || boxed::<Isolated>(2))
        }),
        ours::<Boxed<Compact>>(names::TWO_SLOTS_COMPACT, 2, 2, |count| {
            protected(count, || boxed::<Compact>(2))
        }),
        ours::<Boxed<Isolated>>("cache-aware, 64 slots, Isolated", 3, 64, |count| {
            protected(count, || boxed::<Isolated>(64))
        }),
        ours::<Boxed<Compact>>("cache-aware, 64 slots, Compact", 2, 64, |count| {
            protected(count, || boxed::<Compact>(64))
        }),
    ];
    if HostPlatform::per_cpu().is_ok() {
        all.extend([
            ours::<PerCpu<HostPlatform>>(names::PER_CPU_ISOLATED, 3, 0, |count| {
                protected(count, per_cpu::<Isolated>)
            }),
            ours::<PerCpu<HostPlatform, Compact>>(names::PER_CPU_COMPACT, 2, 0, |count| {
                protected(count, per_cpu::<Compact>)
            }),
        ]);
    }
    all.extend([
        other(names::ARC, Group::Peer, arc),
        other(names::CROSSBEAM, Group::Peer, crossbeam),
        other("kovan, pin", Group::Peer, kovan),
        other("std RwLock, read", Group::Peer, lock),
        other("no protection, only the value", Group::Limit, values),
    ]);
    all
}

fn ours<V: Variant>(
    name: &'static str,
    lines: usize,
    slots: usize,
    make: fn(usize) -> Object,
) -> Crowd {
    Crowd {
        name,
        group: Group::Ours,
        lines,
        bytes: size_of::<Protected<u64, V>>() + slots * size_of::<Slot>(),
        make,
    }
}

fn other(name: &'static str, group: Group, make: fn(usize) -> Object) -> Crowd {
    Crowd {
        name,
        group,
        lines: 1,
        bytes: 32,
        make,
    }
}

/// So many, in one piece of memory.
fn all<T>(count: usize, mut make: impl FnMut() -> T) -> Box<[T]> {
    (0..count).map(|_| make()).collect()
}

fn protected<V: Variant + 'static>(count: usize, make: impl Fn() -> Rundown<V>) -> Object {
    let objects = all(count, || Protected::new(make(), 1_u64));
    let order = shuffled(count);
    Box::new(move |watch| {
        uses(watch, count, |pick| {
            look(*objects[order[pick]].try_acquire().expect("open"));
        });
    })
}

/// What a program keeps in its table: pointers.
fn table<T>(count: usize, make: impl FnMut() -> T) -> Box<[T]> {
    let mut made: Vec<Option<T>> = all(count, make_some(make)).into_vec();
    let order = shuffled(count);
    order
        .iter()
        .map(|&place| made[place].take().expect("each once"))
        .collect()
}

fn make_some<T>(mut make: impl FnMut() -> T) -> impl FnMut() -> Option<T> {
    move || Some(make())
}

fn arc(count: usize) -> Object {
    let objects = table(count, || Arc::new(1_u64));
    Box::new(move |watch| {
        uses(watch, count, |pick| look(*Arc::clone(&objects[pick])));
    })
}

fn crossbeam(count: usize) -> Object {
    let objects = table(count, || crossbeam_epoch::Atomic::new(1_u64));
    let objects = Freed(objects, |pointer| {
        // SAFETY: from `Atomic::new`, and its users are gone.
        drop(unsafe { std::mem::take(pointer).into_owned() });
    });
    Box::new(move |watch| {
        let objects = &objects.0;
        uses(watch, count, |pick| {
            let guard = crossbeam_epoch::pin();
            let value = objects[pick].load(Ordering::Acquire, &guard);
            // SAFETY: it is never null, and lives as long as the object.
            look(*unsafe { value.deref() });
        });
    })
}

fn kovan(count: usize) -> Object {
    let objects = table(count, || kovan::Atomic::new(Box::into_raw(Box::new(1_u64))));
    let objects = Freed(objects, |pointer| {
        let pointer = pointer.load(Ordering::Relaxed, &kovan::pin()).as_raw();
        // SAFETY: from a box, and its users are gone.
        drop(unsafe { Box::from_raw(pointer) });
    });
    Box::new(move |watch| {
        let objects = &objects.0;
        uses(watch, count, |pick| {
            let guard = kovan::pin();
            let value = objects[pick].load(Ordering::Acquire, &guard);
            // SAFETY: it is never null, and lives as long as the object.
            look(*unsafe { value.deref() });
        });
    })
}

/// Pointers, and how to free what one points to.
struct Freed<T>(Box<[T]>, fn(&mut T));

impl<T> Drop for Freed<T> {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(self.1);
    }
}

fn lock(count: usize) -> Object {
    let objects = all(count, || RwLock::new(1_u64));
    let order = shuffled(count);
    Box::new(move |watch| {
        uses(watch, count, |pick| {
            look(*objects[order[pick]].read().expect("nobody panics"));
        });
    })
}

fn values(count: usize) -> Object {
    let objects = all(count, || 1_u64);
    let order = shuffled(count);
    Box::new(move |watch| uses(watch, count, |pick| look(objects[order[pick]])))
}

/// One object whose value is written: by each use, or by those of all CPUs but the first.
pub(crate) fn written(by: Writers) -> Vec<Contender> {
    let mut all = match by {
        Writers::All => vec![
            writes("cache-aware, Isolated", || {
                incremented(boxed::<Isolated>(64))
            }),
            writes("cache-aware, Compact", || incremented(boxed::<Compact>(64))),
        ],
        Writers::Others => vec![
            writes("cache-aware, Isolated", || disturbed(boxed::<Isolated>(64))),
            writes("cache-aware, Compact", || disturbed(boxed::<Compact>(64))),
        ],
    };
    if HostPlatform::per_cpu().is_ok() {
        all.extend(match by {
            Writers::All => [
                writes(names::PER_CPU_ISOLATED, || {
                    incremented(per_cpu::<Isolated>())
                }),
                writes(names::PER_CPU_COMPACT, || incremented(per_cpu::<Compact>())),
            ],
            Writers::Others => [
                writes(names::PER_CPU_ISOLATED, || disturbed(per_cpu::<Isolated>())),
                writes(names::PER_CPU_COMPACT, || disturbed(per_cpu::<Compact>())),
            ],
        });
    }
    all
}

/// Whose uses write the value.
#[derive(Clone, Copy)]
pub(crate) enum Writers {
    /// Every use.
    All,
    /// Those of all CPUs but the first, which only takes protection and gives it back.
    Others,
}

fn writes(name: &'static str, object: fn() -> Object) -> Contender {
    Contender {
        name,
        group: Group::Ours,
        memory: None,
        object,
    }
}

fn incremented<V: Variant + 'static>(rundown: Rundown<V>) -> Object {
    let object = Box::new(Protected::new(rundown, AtomicU64::new(0)));
    Box::new(move |watch| watch.pairs(|| increment(&object)))
}

fn disturbed<V: Variant + 'static>(rundown: Rundown<V>) -> Object {
    let object = Box::new(Protected::new(rundown, AtomicU64::new(0)));
    Box::new(move |watch| {
        if bench::cpu() == 0 {
            watch.pairs(|| drop(object.try_acquire().expect("open")));
        } else {
            watch.disturbs(|| increment(&object));
        }
    })
}

#[inline]
fn increment<V: Variant>(object: &Protected<AtomicU64, V>) {
    let value = object.try_acquire().expect("open");
    value.fetch_add(1, Ordering::Relaxed);
}
