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

use std::env;
use std::hint::black_box;

use rundown::{
    CacheAwareRundown, HostPlatform, ObjectId, Platform, Protected, Rundown, RundownRef, Slot,
};

/// As in a kernel: the running CPU's index is one load away.
struct Kernel;

impl Platform for Kernel {
    #[inline]
    fn cpu_hint() -> usize {
        bench::cpu()
    }

    fn wake_waiters(_: ObjectId) {}
}

static PLAIN: RundownRef<Kernel> = RundownRef::new();
/// The number of slots is a power of two, so that a wrong hint is masked, not divided.
static CACHE_AWARE: CacheAwareRundown<Kernel, [Slot; 64]> = CacheAwareRundown::new();

/// A name, and what it does so many times.
type Path = (&'static str, fn(u32));

/// The kinds' three fast paths, the pair as guards do it, and
/// the pair around one look at a value; and the pair where the number of slots is known at run time
/// only, with the index as above and as `HostPlatform` finds it.
const PATHS: [Path; 13] = [
    ("empty-loop", |times| repeat(times, || ())),
    ("plain-acquire", |times| acquire(&PLAIN, times)),
    ("plain-release", |times| release(&PLAIN, times)),
    ("plain-refused", |times| refused(&PLAIN, times)),
    ("plain-guard", |times| guard(&PLAIN, times)),
    ("plain-protected", |times| {
        protected(RundownRef::<Kernel>::new(), times)
    }),
    ("cache-aware-acquire", |times| acquire(&CACHE_AWARE, times)),
    ("cache-aware-release", |times| release(&CACHE_AWARE, times)),
    ("cache-aware-refused", |times| refused(&CACHE_AWARE, times)),
    ("cache-aware-guard", |times| guard(&CACHE_AWARE, times)),
    ("cache-aware-protected", |times| {
        protected(CacheAwareRundown::<Kernel, [Slot; 64]>::new(), times);
    }),
    ("cache-aware-boxed-guard", |times| {
        guard(&CacheAwareRundown::<Kernel>::boxed(64), times);
    }),
    ("cache-aware-hosted-guard", |times| {
        guard(&CacheAwareRundown::<HostPlatform>::boxed(64), times);
    }),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => PATHS.iter().for_each(|(name, _)| println!("{name}")),
        [path, times] => {
            let (_, run) = PATHS
                .iter()
                .find(|(name, _)| name == path)
                .expect("a path's name");
            run(times.parse().expect("a number of times"));
        }
        _ => panic!("a path and a number of times, or nothing"),
    }
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

fn acquire<R: Rundown>(rundown: &R, times: u32) {
    repeat(times, || rundown.acquire().expect("open"));
}

fn release<R: Rundown>(rundown: &R, times: u32) {
    rundown.acquire_many(times).expect("open");
    // SAFETY: acquired just above, so many times.
    repeat(times, || unsafe { rundown.release() });
}

fn refused<R: Rundown>(rundown: &R, times: u32) {
    rundown.close();
    repeat(times, || {
        rundown.acquire().expect_err("closed");
    });
}

fn guard<R: Rundown>(rundown: &R, times: u32) {
    repeat(times, || drop(rundown.try_acquire().expect("open")));
}

fn protected<R: Rundown>(rundown: R, times: u32) {
    let object = Protected::new(rundown, 1_u64);
    repeat(times, || {
        black_box(*object.try_acquire().expect("open"));
    });
}
