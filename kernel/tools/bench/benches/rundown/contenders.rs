//! All that is measured, one entry each.
//!
//! Other crates are used as their documentation advises, to look once at a value that may be torn
//! down. `TaskTracker` guards no value: it counts tasks, and closing it refuses none.
//!
//! `unsafe` here: some libraries give pointers.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use arc_swap::ArcSwap;
use bench::{Closable, Contender, Group, Kind, Object, Pinned};
use left_right::Absorb;
use rundown::{
    CacheAware, CacheAwareRundown, Compact, HostPlatform, Isolated, Isolation, PerCpu,
    PerCpuRundown, PlainRundown, Protected, Rundown, Slot, Variant,
};
use seize::Guard as _;
use tokio_util::task::TaskTracker;

use crate::guarded::{guarded, look, looks, picks, picks_pointers, works};
use crate::limits::{self, Sweep};

/// Linux' form of the per-CPU variant.
const PER_CPU: &str = "PerCpuRundown, HostPlatform (rseq)";
/// The cache-aware variant as a program without a kernel uses it.
const HOSTED: &str = "CacheAwareRundown, boxed, HostPlatform";
const KERNELS: &str = "PerCpuRundown, kernel's form (gs:)";
const CACHE_AWARE: &str = "CacheAwareRundown";
const PLAIN: &str = "PlainRundown";
const SWEEP: &str = "one pass, lock xadd";

/// As in a static: the slots inside. With more CPUs than slots, CPUs share.
type Inside = CacheAwareRundown<Pinned, [Slot; 64]>;
type Boxed<A> = CacheAware<HostPlatform, Box<[Slot]>, A>;

fn hosted<A: Isolation>(slots: usize) -> Rundown<Boxed<A>> {
    Rundown::<Boxed<A>>::boxed(slots)
}

/// Counted by `rseq`.
fn threads<A: Isolation>() -> Rundown<PerCpu<HostPlatform, A>> {
    Rundown::<PerCpu<HostPlatform, A>>::new().expect("there are counters for all of them")
}

/// Counted relative to GS. The sequence is the kernel's; it is never restarted, as these objects
/// stay open.
fn kernels() -> PerCpuRundown<Pinned> {
    PerCpuRundown::new().expect("few are in use")
}

/// The contenders on this system: all, or all but those that count by `rseq`.
fn available<T>(mut all: Vec<T>, name: fn(&T) -> &'static str) -> Vec<T> {
    const BY_RSEQ: [&str; 3] = ["rseq", "PerCpu>, HostPlatform", "per-CPU"];
    if HostPlatform::per_cpu().is_err() {
        all.retain(|one| !BY_RSEQ.iter().any(|part| name(one).contains(part)));
    }
    all
}

fn value<V: Variant>(rundown: Rundown<V>) -> Protected<u64, V> {
    Protected::new(rundown, 1)
}

guarded! {
    // No value to look at: protection alone.
    @[V: Variant + 'static] Rundown<V>: |object, _look| drop(object.try_acquire().expect("open"));
    @[V: Variant + 'static] Protected<u64, V>: |object, look| look(*object.try_acquire().expect("open"));
    @[V: rundown_diagnosis::Variant + 'static] rundown_diagnosis::Rundown<V>:
        |object, _look| drop(object.try_acquire().expect("open"));
    Arc<u64>: |value, look| look(*Arc::clone(value));
    RwLock<u64>: |value, look| look(*value.read().expect("no thread panics"));
    parking_lot::RwLock<u64>: |value, look| look(*value.read());
    ArcSwap<u64>: |value, look| look(**value.load());
    Crossbeam: |value, look| {
        let guard = crossbeam_epoch::pin();
        let value = value.0.load(Ordering::Acquire, &guard);
        // SAFETY: it is never null, and lives as long as the object.
        look(*unsafe { value.deref() });
    };
    Seize: |value, look| {
        let guard = value.0.enter();
        let value = guard.protect(&value.1, Ordering::Acquire);
        // SAFETY: it is never null, and lives as long as the object.
        look(unsafe { *value });
    };
    Kovan: |value, look| {
        let guard = kovan::pin();
        let value = value.0.load(Ordering::Acquire, &guard);
        // SAFETY: it is never null, and lives as long as the object.
        look(*unsafe { value.deref() });
    };
    sdd::AtomicOwned<u64>: |value, look| {
        let guard = sdd::Guard::new();
        let value = value.load(Ordering::Acquire, &guard);
        look(*value.as_ref().expect("never null"));
    };
    TaskTracker: |tracker, look| {
        let _token = tracker.token();
        look(1);
    };
    // No protection.
    u64: |value, look| look(*value);
}

struct Crossbeam(crossbeam_epoch::Atomic<u64>);
struct Kovan(kovan::Atomic<u64>);
struct Seize(seize::Collector, AtomicPtr<u64>);

impl Drop for Crossbeam {
    fn drop(&mut self) {
        // SAFETY: from `Atomic::new`, and its users are gone.
        drop(unsafe { std::mem::take(&mut self.0).into_owned() });
    }
}

impl Drop for Kovan {
    fn drop(&mut self) {
        let pointer = self.0.load(Ordering::Relaxed, &kovan::pin()).as_raw();
        // SAFETY: from a box, and its users are gone.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

impl Drop for Seize {
    fn drop(&mut self) {
        // SAFETY: from a box, and its users are gone.
        drop(unsafe { Box::from_raw(*self.1.get_mut()) });
    }
}

fn crossbeam() -> Crossbeam {
    Crossbeam(crossbeam_epoch::Atomic::new(1))
}

fn kovan() -> Kovan {
    Kovan(kovan::Atomic::new(Box::into_raw(Box::new(1))))
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

/// The step of a writer of the left-right pair: it adds.
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
        watch.pairs(|| look(*reader.enter().expect("the writer lives")));
    })
}

/// `name, object`, for each contender of a group; for many objects
/// `name, cache lines, bytes, objects`.
macro_rules! contenders {
    ($group:ident: $($name:expr, $object:expr;)*) => {
        contenders!($group, _: $($name, 0, 0, $object;)*)
    };
    ($group:ident, $count:tt: $($name:expr, $lines:expr, $bytes:expr, $object:expr;)*) => {
        vec![$(bench::Contender {
            name: $name,
            group: bench::Group::$group,
            lines: $lines,
            bytes: $bytes,
            make: Box::new(|$count| $object),
        }),*]
    };
}
pub(crate) use contenders;

/// One look at one object.
pub(crate) fn pairs() -> Vec<Contender> {
    use rundown_diagnosis as diagnosed;

    let mut all = contenders! { Ours:
        PLAIN, looks(PlainRundown::<Pinned>::new());
        "PlainRundown, HostPlatform", looks(PlainRundown::<HostPlatform>::new());
        CACHE_AWARE, looks(Inside::new());
        HOSTED, looks(hosted::<Isolated>(64));
        KERNELS, looks(kernels());
        "Protected<T, Plain>", looks(value(PlainRundown::<Pinned>::new()));
        "Protected<T, CacheAware>", looks(value(Inside::new()));
        "Protected<T, PerCpu>", looks(value(kernels()));
        PER_CPU, looks(threads::<Isolated>());
        "Protected<T, PerCpu>, HostPlatform", looks(value(threads::<Isolated>()));
    };
    all.extend(contenders! { Diagnosis:
        "PlainRundown, HostPlatform, diagnosis",
            looks(diagnosed::PlainRundown::<diagnosed::HostPlatform>::new());
        "CacheAwareRundown, boxed, diagnosis",
            looks(diagnosed::CacheAwareRundown::<diagnosed::HostPlatform>::boxed(64));
        "PerCpuRundown (rseq), diagnosis",
            looks(diagnosed::PerCpuRundown::<diagnosed::HostPlatform>::new().expect("few are in use"));
    });
    all.extend(contenders! { Peer:
        "std Arc, clone + drop", looks(Arc::new(1_u64));
        "std RwLock, read", looks(RwLock::new(1_u64));
        "parking_lot RwLock, read", looks(parking_lot::RwLock::new(1_u64));
        "arc-swap, load", looks(ArcSwap::from_pointee(1_u64));
        "crossbeam-epoch, pin", looks(crossbeam());
        "haphazard, pointer reused", hazard_pointer();
        "seize, enter",
            looks(Seize(seize::Collector::new(), AtomicPtr::new(Box::into_raw(Box::new(1)))));
        "kovan, pin", looks(kovan());
        "sdd, guard", looks(sdd::AtomicOwned::new(1_u64));
        "left-right, enter", left_right();
        "tokio TaskTracker, token", looks(TaskTracker::new());
    });
    all.extend(crate::c_peers::contenders());
    all.extend(limits::contenders());
    available(all, |one| one.name)
}

/// Why the per-CPU variant is not there.
pub(crate) fn missing() -> Option<(&'static str, String)> {
    Some((PER_CPU, HostPlatform::per_cpu().err()?.to_string()))
}

/// Users that do something while they hold protection. A pair with nothing in between is the worst
/// that may happen to a shared word, and hides what a locked instruction costs its neighbours.
pub(crate) fn work() -> Vec<Contender> {
    let mut all = contenders! { Ours:
        PLAIN, works(value(PlainRundown::<Pinned>::new()));
        CACHE_AWARE, works(value(Inside::new()));
        PER_CPU, works(value(threads::<Isolated>()));
    };
    all.extend(contenders! { Peer:
        "std Arc, clone + drop", works(Arc::new(1_u64));
        "crossbeam-epoch, pin", works(crossbeam());
        "std RwLock, read", works(RwLock::new(1_u64));
    });
    all.extend(contenders! { Limit: "the work alone", works(1_u64); });
    available(all, |one| one.name)
}

/// Many objects. Slots are boxed: those of all objects in one piece were no faster. (What counts is
/// that each is a cache line of its own.)
pub(crate) fn crowds() -> Vec<Contender> {
    const SLOT: usize = size_of::<Slot>();
    let mut all = contenders! { Ours, count:
        "plain", 1, 32, picks(count, || value(PlainRundown::<HostPlatform>::new()));
        "cache-aware, 2 slots, Isolated", 3, 256 + 2 * SLOT, picks(count, || value(hosted::<Isolated>(2)));
        "cache-aware, 2 slots, Compact", 2, 128 + 2 * SLOT, picks(count, || value(hosted::<Compact>(2)));
        "cache-aware, 64 slots, Isolated", 3, 256 + 64 * SLOT, picks(count, || value(hosted::<Isolated>(64)));
        "cache-aware, 64 slots, Compact", 2, 128 + 64 * SLOT, picks(count, || value(hosted::<Compact>(64)));
        "per-CPU, Isolated", 3, 256, picks(count, || value(threads::<Isolated>()));
        "per-CPU, Compact", 2, 128, picks(count, || value(threads::<Compact>()));
    };
    all.extend(contenders! { Peer, count:
        "std Arc, clone + drop", 1, 32, picks_pointers(count, || Arc::new(1_u64));
        "crossbeam-epoch, pin", 1, 32, picks_pointers(count, crossbeam);
        "kovan, pin", 1, 32, picks_pointers(count, kovan);
        "std RwLock, read", 1, 32, picks(count, || RwLock::new(1_u64));
    });
    all.extend(
        contenders! { Limit, count: "no protection, only the value", 1, 8, picks(count, || 1_u64); },
    );
    available(all, |one| one.name)
}

/// One object whose value users write: the first CPU only takes protection and gives it back, the
/// others increment the value under it.
pub(crate) fn written() -> Vec<Contender> {
    fn writes<V: Variant + 'static>(rundown: Rundown<V>) -> Object {
        let object = Protected::new(rundown, AtomicU64::new(0));
        Box::new(move |watch| {
            let writes = bench::cpu() != 0;
            watch.pairs(|| {
                let value = object.try_acquire().expect("open");
                if writes {
                    value.fetch_add(1, Ordering::Relaxed);
                }
            });
        })
    }
    let all = contenders! { Ours:
        "cache-aware, Isolated", writes(hosted::<Isolated>(64));
        "cache-aware, Compact", writes(hosted::<Compact>(64));
        "per-CPU, Isolated", writes(threads::<Isolated>());
        "per-CPU, Compact", writes(threads::<Compact>());
    };
    available(all, |one| one.name)
}

/// For the tables of teardowns.
pub(crate) fn kinds() -> Vec<Kind> {
    fn many<V: Variant + 'static>(
        count: usize,
        make: impl Fn() -> Rundown<V>,
    ) -> Box<dyn Closable> {
        Box::new((0..count).map(|_| make()).collect::<Vec<Rundown<V>>>())
    }
    let kind = |name, make| Kind { name, make, group: Group::Ours };
    let all = vec![
        kind(PLAIN, |objects, _| many(objects, PlainRundown::<Pinned>::new)),
        kind("PlainRundown, HostPlatform", |objects, _| {
            many(objects, PlainRundown::<HostPlatform>::new)
        }),
        kind(CACHE_AWARE, |objects, slots| {
            many(objects, || CacheAwareRundown::<Pinned>::boxed(slots))
        }),
        kind(HOSTED, |objects, slots| many(objects, || hosted::<Isolated>(slots))),
        kind(PER_CPU, |objects, _| many(objects, threads::<Isolated>)),
        Kind { group: Group::Limit, ..kind(SWEEP, |_, slots| Box::new(Sweep::new(slots))) },
    ];
    available(all, |kind| kind.name)
}
