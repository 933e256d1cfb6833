//! Runs one fast path so many times, for `.ci/callgrind` to count its instructions: `paths
//! cache-aware-acquire 1000` runs this one a thousand times. `instructions.txt` has all names.
//!
//! Only what runs inside [`collected`] counts, and the script takes the difference of two numbers
//! of times, so that neither the start of the program nor the call itself is in the result. The
//! loop is, and stands in the list by its own name.
//!
//! Valgrind has no restartable sequences (it answers `ENOSYS` to rseq(2)), so the per-CPU variant
//! for threads does not run there. The script counts the instructions of the functions `rseq_*` as
//! they stand in the binary: on the fast path, no jump is taken.

use std::env;
use std::hint::black_box;

use bench::{Pinned, pinned};
use rundown::{
    CacheAwareRundown, HostPlatform, PerCpuRundown, PlainRundown, Protected, Refused, Rundown,
    Slot, Variant,
};

/// The number of slots is a power of two, so that a wrong hint is masked, not divided.
type CacheAware = CacheAwareRundown<Pinned, [Slot; 64]>;

fn main() {
    pinned::stand_for(0);
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, times] = &arguments[..] else { panic!("a path and a number of times") };
    let times = times.parse().expect("a number of times");
    match name.rsplit_once('-').expect("VARIANT-PATH") {
        ("empty", "loop") => repeat(times, || ()),
        ("plain", path) => run(path, times, PlainRundown::<Pinned>::new),
        ("cache-aware", path) => run(path, times, CacheAware::new),
        // The number of slots is known at run time only, with the index as above and as
        // `HostPlatform` finds it.
        ("cache-aware-boxed", "guard") => guard(&CacheAwareRundown::<Pinned>::boxed(64), times),
        ("cache-aware-hosted", "guard") => {
            guard(&CacheAwareRundown::<HostPlatform>::boxed(64), times);
        }
        // In the kernel's form.
        ("per-cpu", path) => run(path, times, || PerCpuRundown::<Pinned>::new().expect("few")),
        _ => panic!("there is no {name}"),
    }
}

/// A variant's three fast paths, the pair as guards do it, and the pair around one look at a value.
fn run<V: Variant>(path: &str, times: u32, new: fn() -> Rundown<V>) {
    let open = new();
    match path {
        "acquire" => repeat(times, || open.acquire().expect("open")),
        "release" => {
            open.acquire_many(times).expect("open");
            // SAFETY: acquired just above, so many times.
            repeat(times, || unsafe { open.release() });
        }
        "refused" => {
            // Closing one of the per-CPU variant would take a barrier.
            let closed = new().born_closed();
            repeat(times, || {
                closed.acquire().expect_err("closed");
            });
        }
        "guard" => guard(&open, times),
        "protected" => {
            let object = Protected::new(new(), 1_u64);
            repeat(times, || {
                black_box(*object.try_acquire().expect("open"));
            });
        }
        _ => panic!("there is no {path}"),
    }
}

fn guard<V: Variant>(rundown: &Rundown<V>, times: u32) {
    repeat(times, || drop(rundown.try_acquire().expect("open")));
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

/// The code that callgrind measures, by this name.
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
