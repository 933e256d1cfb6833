//! The kinds of `rundown`: an entry here for what their use costs, and one for their teardown.

use bench::creation::{Creation, creations};
use bench::report::Missing;
use bench::teardown::{Closable, Kind};
use bench::{Contender, Effort, Group, Memory, Object, Pinned, Workers, names};
use rundown::{
    CacheAwareRundown, HostPlatform, PerCpuRundown, PlainRundown, Protected, Rundown, Slot, Variant,
};

use crate::limits::{Sweep, look};

type Plain = PlainRundown<Pinned>;
/// As in a static: the slots inside. With more CPUs than slots, CPUs share.
type CacheAware = CacheAwareRundown<Pinned, [Slot; 64]>;
/// The sequence is the kernel's; it is never restarted, as these objects stay open.
type PerCpu = PerCpuRundown<Pinned>;
type PlainHosted = PlainRundown<HostPlatform>;
type Hosted = CacheAwareRundown<HostPlatform>;

pub(crate) fn contenders() -> Vec<Contender> {
    let plain = Some(Memory::of::<Plain>());
    let cache_aware = Some(Memory {
        fixed: size_of::<CacheAware>() - size_of::<[Slot; 64]>(),
        per_cpu: size_of::<Slot>(),
    });
    let per_cpu = Some(Memory {
        fixed: size_of::<PerCpu>(),
        per_cpu: size_of::<u64>(),
    });
    let mut all = vec![
        ours(names::PLAIN, plain, || guards(Plain::new())),
        ours(names::PLAIN_HOSTED, None, || guards(PlainHosted::new())),
        ours(
            names::CACHE_AWARE,
            cache_aware,
            || guards(CacheAware::new()),
        ),
        ours(names::CACHE_AWARE_HOSTED, None, || {
            guards(Hosted::boxed(64))
        }),
        ours(names::PER_CPU, per_cpu, || guards(per_cpu_object())),
        ours("Protected<T, Plain>", None, || protects(Plain::new())),
        ours("Protected<T, CacheAware>", None, || {
            protects(CacheAware::new())
        }),
        ours("Protected<T, PerCpu>", None, || protects(per_cpu_object())),
    ];
    if HostPlatform::per_cpu().is_ok() {
        all.extend([
            ours(names::PER_CPU_LINUX, per_cpu, || guards(threads_object())),
            ours("Protected<T, PerCpu>, HostPlatform", None, || {
                protects(threads_object())
            }),
        ]);
    }
    all
}

/// What this system does not have.
pub(crate) fn missing() -> Option<Missing> {
    Some(Missing {
        name: names::PER_CPU_LINUX,
        reason: HostPlatform::per_cpu().err()?.to_string(),
    })
}

fn threads_object() -> PerCpuRundown<HostPlatform> {
    PerCpuRundown::new().expect("few are in use")
}

fn per_cpu_object() -> PerCpu {
    PerCpu::new().expect("few are in use")
}

/// What an object costs to make, by how many there are; for the variant whose counters are shared out.
pub(crate) fn created(workers: &Workers, effort: Effort) -> Vec<Creation> {
    match HostPlatform::per_cpu() {
        Ok(()) => creations(workers, threads_object, effort),
        Err(_) => Vec::new(),
    }
}

/// For the tables of teardowns.
pub(crate) fn kinds() -> Vec<Kind> {
    let mut all = vec![
        kind(names::PLAIN, |objects, _| many(objects, Plain::new)),
        Kind {
            beside: Some(names::PLAIN),
            ..kind(names::PLAIN_HOSTED, |objects, _| {
                many(objects, PlainHosted::new)
            })
        },
        Kind {
            beside: Some(names::SWEEP),
            ..kind(names::CACHE_AWARE, |objects, slots| {
                many(objects, || CacheAwareRundown::<Pinned>::boxed(slots))
            })
        },
        Kind {
            beside: Some(names::CACHE_AWARE),
            ..kind(names::CACHE_AWARE_HOSTED, |objects, slots| {
                many(objects, || Hosted::boxed(slots))
            })
        },
        Kind {
            limit: true,
            ..kind(names::SWEEP, |_, slots| Box::new(Sweep::new(slots)))
        },
    ];
    if HostPlatform::per_cpu().is_ok() {
        all.push(Kind {
            barriers: Some(HostPlatform::barriers),
            ..kind(names::PER_CPU_LINUX, |objects, _| {
                many(objects, threads_object)
            })
        });
    }
    all
}

fn many<V: Variant + 'static>(objects: usize, make: impl Fn() -> Rundown<V>) -> Box<dyn Closable> {
    Box::new((0..objects).map(|_| make()).collect::<Vec<Rundown<V>>>())
}

fn ours(name: &'static str, memory: Option<Memory>, object: fn() -> Object) -> Contender {
    Contender {
        name,
        group: Group::Ours,
        memory,
        object,
    }
}

fn kind(name: &'static str, make: fn(usize, usize) -> Box<dyn Closable>) -> Kind {
    Kind {
        name,
        make,
        barriers: None,
        beside: None,
        limit: false,
    }
}

/// Protection alone.
fn guards<V: Variant + 'static>(rundown: Rundown<V>) -> Object {
    let rundown = Box::new(rundown);
    Box::new(move |watch| {
        watch.pairs(|| drop(rundown.try_acquire().expect("open")));
    })
}

/// Protection, and one look at the value.
fn protects<V: Variant + 'static>(rundown: Rundown<V>) -> Object {
    let object = Box::new(Protected::new(rundown, 1_u64));
    Box::new(move |watch| {
        watch.pairs(|| {
            look(*object.try_acquire().expect("open"));
        });
    })
}
