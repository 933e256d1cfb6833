//! Runs one fast path so many times, for `.ci/callgrind` to count its instructions.
//!
//! ```sh
//! paths                               # the names of the paths
//! paths cache-aware-acquire 1000      # this one, a thousand times
//! ```
//!
//! Only what runs inside [`collected`] counts, and the script takes the difference of two numbers of
//! times, so that neither the start of the program nor the call itself is in the result. The loop is,
//! and stands in the list by its own name.
//!
//! Valgrind has no restartable sequences (it answers `ENOSYS` to rseq(2)), so the per-CPU variant for
//! threads does not run there. The script counts the instructions of the functions `rseq_*` as they
//! stand in the binary: on the fast path, no jump is taken.

use std::env;
use std::hint::black_box;

use bench::{Pinned, pinned};
use rundown::{
    CacheAwareRundown, HostPlatform, PerCpuRundown, PlainRundown, Protected, Refused, Rundown,
    Slot, Variant,
};

static PLAIN: PlainRundown<Pinned> = PlainRundown::new();
/// The number of slots is a power of two, so that a wrong hint is masked, not divided.
static CACHE_AWARE: CacheAwareRundown<Pinned, [Slot; 64]> = CacheAwareRundown::new();

/// A name, and what it does so many times.
type Path = (&'static str, fn(u32));

/// A variant's three fast paths, the pair as guards do it, and the pair around one look at a value.
macro_rules! paths {
    ($name:literal, $open:expr, $closed:expr, $new:expr) => {
        [
            (concat!($name, "-acquire"), |times| acquire($open, times)),
            (concat!($name, "-release"), |times| release($open, times)),
            (concat!($name, "-refused"), |times| refused($closed, times)),
            (concat!($name, "-guard"), |times| guard($open, times)),
            (concat!($name, "-protected"), |times| protected($new, times)),
        ]
    };
}

/// And the pair where the number of slots is known at run time only, with the index as above and as
/// `HostPlatform` finds it.
const PATHS: [&[Path]; 5] = [
    &[("empty-loop", |times| repeat(times, || ()))],
    &paths!("plain", &PLAIN, &PLAIN, PlainRundown::<Pinned>::new()),
    &paths!(
        "cache-aware",
        &CACHE_AWARE,
        &CACHE_AWARE,
        CacheAwareRundown::<Pinned, [Slot; 64]>::new()
    ),
    &[
        ("cache-aware-boxed-guard", |times| guard(&CacheAwareRundown::<Pinned>::boxed(64), times)),
        ("cache-aware-hosted-guard", |times| {
            guard(&CacheAwareRundown::<HostPlatform>::boxed(64), times)
        }),
    ],
    // Born closed: closing it would take a barrier.
    &paths!("per-cpu", &per_cpu(), &per_cpu().born_closed(), per_cpu()),
];

/// In the kernel's form.
fn per_cpu() -> PerCpuRundown<Pinned> {
    PerCpuRundown::new().expect("few are in use")
}

fn main() {
    pinned::stand_for(0).expect("the GS base can be set");
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => PATHS.concat().iter().for_each(|(name, _)| println!("{name}")),
        [path, times] => {
            let paths = PATHS.concat();
            let (_, run) = paths.iter().find(|(name, _)| name == path).expect("a path's name");
            run(times.parse().expect("a number of times"));
        }
        _ => panic!("a path and a number of times, or nothing"),
    }
}

type PerCpu = PerCpuRundown<HostPlatform>;

type Functions = (fn(&PerCpu) -> Result<(), Refused>, unsafe fn(&PerCpu), fn(&PerCpu));

/// Keeps them in the binary.
#[used]
static DISASSEMBLED: Functions = (rseq_acquire, rseq_release, rseq_guard);

#[unsafe(no_mangle)]
fn rseq_acquire(object: &PerCpu) -> Result<(), Refused> {
    object.acquire()
}

/// # Safety
/// As for [`Rundown::release`].
#[unsafe(no_mangle)]
unsafe fn rseq_release(object: &PerCpu) {
    // SAFETY: the same contract.
    unsafe { object.release() }
}

#[unsafe(no_mangle)]
fn rseq_guard(object: &PerCpu) {
    drop(object.try_acquire());
}

/// What callgrind collects, by this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn collected(work: &mut dyn FnMut()) {
    work();
}

#[inline]
fn repeat(times: u32, mut path: impl FnMut()) {
    collected(&mut || {
        // Not known beforehand: neither is the loop unrolled, nor does it end in another way.
        for _ in 0..black_box(times) {
            path();
            black_box(());
        }
    });
}

fn acquire<V: Variant>(rundown: &Rundown<V>, times: u32) {
    repeat(times, || rundown.acquire().expect("open"));
}

fn release<V: Variant>(rundown: &Rundown<V>, times: u32) {
    rundown.acquire_many(times).expect("open");
    // SAFETY: acquired just above, so many times.
    repeat(times, || unsafe { rundown.release() });
}

fn refused<V: Variant>(rundown: &Rundown<V>, times: u32) {
    rundown.close();
    repeat(times, || {
        rundown.acquire().expect_err("closed");
    });
}

fn guard<V: Variant>(rundown: &Rundown<V>, times: u32) {
    repeat(times, || drop(rundown.try_acquire().expect("open")));
}

fn protected<V: Variant>(rundown: Rundown<V>, times: u32) {
    let object = Protected::new(rundown, 1_u64);
    repeat(times, || {
        black_box(*object.try_acquire().expect("open"));
    });
}
