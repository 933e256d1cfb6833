//! All that is measured, one entry each.
//!
//! Other crates are used as their documentation advises, to look once at a value that may be torn
//! down. `TaskTracker` guards no value: it counts tasks, and closing it refuses none.
//!
//! `unsafe` here: some libraries give pointers.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use arc_swap::ArcSwap;
use bench::{Contender, Crowd, MakeClosable, MakeObject, Pinned, many, shared};
use left_right::Absorb;
use rundown::{
    CacheAware, CacheAwareRundown, Compact, HostPlatform, Isolated, Isolation, PerCpu,
    PerCpuRundown, PlainRundown, Protected, Rundown, Slot, Variant,
};
use seize::{Collector, Guard};
use tokio_util::task::TaskTracker;

use crate::guarded::{guarded, look, looks, picks, picks_pointers, works};
use crate::limits;

/// Linux' form of the per-CPU variant.
pub(crate) const PER_CPU: &str = "PerCpuRundown, HostPlatform (rseq)";
/// The cache-aware variant as a program without a kernel uses it.
const HOSTED: &str = "CacheAwareRundown, boxed, HostPlatform";
const CACHE_AWARE: &str = "CacheAwareRundown";
const PLAIN: &str = "PlainRundown";

/// As in a static: the slots inside. With more CPUs than slots, CPUs share.
type Inside = CacheAwareRundown<Pinned, [Slot; 64]>;

fn hosted<A: Isolation>(slots: usize) -> Rundown<CacheAware<HostPlatform, Box<[Slot]>, A>> {
    Rundown::<CacheAware<_, _, _>>::boxed(slots)
}

/// Counted by `rseq`.
fn threads<A: Isolation>() -> Rundown<PerCpu<HostPlatform, A>> {
    Rundown::<PerCpu<_, _>>::new().expect("there are counters for all of them")
}

/// Counted relative to GS. The sequence is the kernel's; it is never restarted, as these objects
/// stay open.
fn kernels() -> PerCpuRundown<Pinned> {
    PerCpuRundown::new().expect("few are in use")
}

/// The contenders on this system: all, or all but those that count by `rseq`.
fn available<M>(mut all: Vec<Contender<M>>) -> Vec<Contender<M>> {
    const BY_RSEQ: [&str; 3] = ["rseq", "PerCpu>, HostPlatform", "per-CPU"];
    if HostPlatform::per_cpu().is_err() {
        all.retain(|one| !BY_RSEQ.iter().any(|part| one.name.contains(part)));
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

fn crossbeam() -> Crossbeam {
    Crossbeam(crossbeam_epoch::Atomic::new(1))
}

fn kovan() -> Kovan {
    Kovan(kovan::Atomic::new(Box::into_raw(Box::new(1))))
}

fn hazard_pointer() -> MakeObject {
    let value = || haphazard::AtomicPtr::from(Box::new(1_u64));
    shared(value, |value, watch| {
        let mut hazard = haphazard::HazardPointer::new();
        watch.pairs(|| {
            look(*value.safe_load(&mut hazard).expect("never null"));
            hazard.reset_protection();
        })
    })
}

fn seize() -> MakeObject {
    static VALUE: u64 = 1;
    let value = || (Collector::new(), AtomicPtr::new((&raw const VALUE).cast_mut()));
    shared(value, |(collector, value), watch| {
        watch.pairs(|| {
            let guard = collector.enter();
            // SAFETY: it is only read, and lives for ever.
            look(unsafe { *guard.protect(value, Ordering::Acquire) });
        })
    })
}

/// The steps of the left-right pair's writer: there are none.
enum Never {}

impl Absorb<Never> for u64 {
    fn absorb_first(&mut self, never: &mut Never, _: &Self) {
        match *never {}
    }

    fn sync_with(&mut self, _: &Self) {}
}

fn left_right() -> MakeObject {
    // Readers find nothing once the writer is dropped.
    let pair = || {
        let (writer, reader) = left_right::new_from_empty::<u64, Never>(1);
        (Mutex::new(writer), reader.factory())
    };
    shared(pair, |(_, readers), watch| {
        let reader = readers.handle();
        watch.pairs(|| look(*reader.enter().expect("the writer lives")))
    })
}

/// `name => make`, for each contender of a group.
macro_rules! contenders {
    ($($group:ident: {$($name:expr => $make:expr;)*})*) => {
        vec![$($(bench::Contender { name: $name, group: bench::Group::$group, make: $make }),*),*]
    };
}
pub(crate) use contenders;

/// One look at one object.
pub(crate) fn pairs() -> Vec<Contender<MakeObject>> {
    use rundown_diagnosis as diagnosed;

    let mut all = contenders! {
        Ours: {
            PLAIN => looks(PlainRundown::<Pinned>::new);
            "PlainRundown, HostPlatform" => looks(PlainRundown::<HostPlatform>::new);
            CACHE_AWARE => looks(Inside::new);
            HOSTED => looks(|| hosted::<Isolated>(64));
            "PerCpuRundown, kernel's form (gs:)" => looks(kernels);
            "Protected<T, Plain>" => looks(|| value(PlainRundown::<Pinned>::new()));
            "Protected<T, CacheAware>" => looks(|| value(Inside::new()));
            "Protected<T, PerCpu>" => looks(|| value(kernels()));
            PER_CPU => looks(threads::<Isolated>);
            "Protected<T, PerCpu>, HostPlatform" => looks(|| value(threads::<Isolated>()));
        }
        Diagnosis: {
            "PlainRundown, HostPlatform, diagnosis" =>
                looks(diagnosed::PlainRundown::<diagnosed::HostPlatform>::new);
            "CacheAwareRundown, boxed, diagnosis" =>
                looks(|| diagnosed::CacheAwareRundown::<diagnosed::HostPlatform>::boxed(64));
            "PerCpuRundown (rseq), diagnosis" => looks(|| {
                diagnosed::PerCpuRundown::<diagnosed::HostPlatform>::new().expect("few are in use")
            });
        }
        Peer: {
            "std Arc, clone + drop" => looks(|| Arc::new(1_u64));
            "std RwLock, read" => looks(|| RwLock::new(1_u64));
            "parking_lot RwLock, read" => looks(|| parking_lot::RwLock::new(1_u64));
            "arc-swap, load" => looks(|| ArcSwap::from_pointee(1_u64));
            "crossbeam-epoch, pin" => looks(crossbeam);
            "haphazard, pointer reused" => hazard_pointer();
            "seize, enter" => seize();
            "kovan, pin" => looks(kovan);
            "sdd, guard" => looks(|| sdd::AtomicOwned::new(1_u64));
            "left-right, enter" => left_right();
            "tokio TaskTracker, token" => looks(TaskTracker::new);
        }
    };
    all.extend(crate::c_peers::contenders());
    all.extend(limits::contenders());
    available(all)
}

/// Users that do something while they hold protection. A pair with nothing in between is the worst
/// that may happen to a shared word, and hides what a locked instruction costs its neighbours.
pub(crate) fn work() -> Vec<Contender<MakeObject>> {
    available(contenders! {
        Ours: {
            PLAIN => works(|| value(PlainRundown::<Pinned>::new()));
            CACHE_AWARE => works(|| value(Inside::new()));
            PER_CPU => works(|| value(threads::<Isolated>()));
        }
        Peer: {
            "std Arc, clone + drop" => works(|| Arc::new(1_u64));
            "crossbeam-epoch, pin" => works(crossbeam);
            "std RwLock, read" => works(|| RwLock::new(1_u64));
        }
        Limit: { "the work alone" => works(|| 1_u64); }
    })
}

/// Many objects. Slots are boxed: those of all objects in one piece were no faster. (What counts is
/// that each is a cache line of its own.)
pub(crate) fn crowds() -> Vec<Contender<Crowd>> {
    available(contenders! {
        Ours: {
            "plain" => picks(1, 0, || value(PlainRundown::<HostPlatform>::new()));
            "cache-aware, 2 slots, Isolated" => picks(3, 2, || value(hosted::<Isolated>(2)));
            "cache-aware, 2 slots, Compact" => picks(2, 2, || value(hosted::<Compact>(2)));
            "cache-aware, 64 slots, Isolated" => picks(3, 64, || value(hosted::<Isolated>(64)));
            "cache-aware, 64 slots, Compact" => picks(2, 64, || value(hosted::<Compact>(64)));
            "per-CPU, Isolated" => picks(3, 0, || value(threads::<Isolated>()));
            "per-CPU, Compact" => picks(2, 0, || value(threads::<Compact>()));
        }
        Peer: {
            "std Arc, clone + drop" => picks_pointers(|| Arc::new(1_u64));
            "crossbeam-epoch, pin" => picks_pointers(crossbeam);
            "kovan, pin" => picks_pointers(kovan);
            "std RwLock, read" => picks(1, 0, || RwLock::new(1_u64));
        }
        Limit: { "no protection, only the value" => picks(1, 0, || 1_u64); }
    })
}

/// One object whose value users write: the first CPU only takes protection and gives it back, the
/// others increment the value under it.
pub(crate) fn written() -> Vec<Contender<MakeObject>> {
    fn writes<V: Variant + 'static>(make: fn() -> Rundown<V>) -> MakeObject {
        let make = move || Protected::new(make(), AtomicU64::new(0));
        shared(make, |object, watch| {
            let writes = bench::cpu() != 0;
            watch.pairs(|| {
                let value = object.try_acquire().expect("open");
                if writes {
                    value.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
    }
    available(contenders! {
        Ours: {
            "cache-aware, Isolated" => writes(|| hosted::<Isolated>(64));
            "cache-aware, Compact" => writes(|| hosted::<Compact>(64));
            "per-CPU, Isolated" => writes(threads::<Isolated>);
            "per-CPU, Compact" => writes(threads::<Compact>);
        }
    })
}

/// For the tables of teardowns.
pub(crate) fn kinds() -> Vec<Contender<MakeClosable>> {
    available(contenders! {
        Ours: {
            PLAIN => many(|_| PlainRundown::<Pinned>::new());
            "PlainRundown, HostPlatform" => many(|_| PlainRundown::<HostPlatform>::new());
            CACHE_AWARE => many(CacheAwareRundown::<Pinned>::boxed);
            HOSTED => many(hosted::<Isolated>);
            PER_CPU => many(|_| threads::<Isolated>());
        }
        Limit: { "one pass, lock xadd" => limits::sweep(); }
    })
}
