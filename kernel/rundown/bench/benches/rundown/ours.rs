//! The kinds of `rundown`: an entry here for what their use costs, and one for their teardown.

use bench::teardown::{Closable, Kind};
use bench::{Contender, Group, Memory, Object};
use rundown::{
    CacheAwareRundown, HostPlatform, ObjectId, Platform, Protected, Rundown, RundownRef, Slot,
};

use crate::limits::{Sweep, look};

/// The benchmark's threads are pinned, and nobody sleeps: as in a kernel whose waiters spin.
struct Pinned;

impl Platform for Pinned {
    #[inline]
    fn cpu_hint() -> usize {
        bench::cpu()
    }

    fn wake_waiters(_: ObjectId) {}
}

type Plain = RundownRef<Pinned>;
/// As in a static: the slots inside. With more CPUs than slots, CPUs share.
type CacheAware = CacheAwareRundown<Pinned, [Slot; 64]>;
type Hosted = CacheAwareRundown<HostPlatform>;

pub(crate) fn contenders() -> Vec<Contender> {
    let plain = Some(Memory::of::<Plain>());
    let cache_aware = Some(Memory {
        fixed: size_of::<CacheAware>() - size_of::<[Slot; 64]>(),
        per_cpu: size_of::<Slot>(),
    });
    vec![
        ours("RundownRef", plain, || guards(Plain::new())),
        ours("CacheAwareRundown", cache_aware, || {
            guards(CacheAware::new())
        }),
        ours("CacheAwareRundown, boxed, HostPlatform", None, || {
            guards(Hosted::boxed(64))
        }),
        ours("Protected<T, RundownRef>", None, || protects(Plain::new())),
        ours("Protected<T, CacheAwareRundown>", None, || {
            protects(CacheAware::new())
        }),
    ]
}

/// For the tables of teardowns.
pub(crate) fn kinds() -> Vec<Kind> {
    vec![
        kind("RundownRef", |_| Box::new(Plain::new())),
        kind("CacheAwareRundown", |slots| {
            Box::new(CacheAwareRundown::<Pinned>::boxed(slots))
        }),
        Kind {
            name: "limit: one pass, lock xadd",
            make: |slots| Box::new(Sweep::new(slots)),
            limit: true,
        },
    ]
}

fn ours(name: &'static str, memory: Option<Memory>, object: fn() -> Object) -> Contender {
    Contender {
        name,
        group: Group::Ours,
        memory,
        object,
    }
}

fn kind(name: &'static str, make: fn(usize) -> Box<dyn Closable>) -> Kind {
    Kind {
        name,
        make,
        limit: false,
    }
}

/// Protection alone.
fn guards<R: Rundown + 'static>(rundown: R) -> Object {
    let rundown = Box::new(rundown);
    Box::new(move |watch| {
        watch.pairs(|| drop(rundown.try_acquire().expect("open")));
    })
}

/// Protection, and one look at the value.
fn protects<R: Rundown + 'static>(rundown: R) -> Object {
    let object = Box::new(Protected::new(rundown, 1_u64));
    Box::new(move |watch| {
        watch.pairs(|| {
            look(*object.try_acquire().expect("open"));
        });
    })
}
