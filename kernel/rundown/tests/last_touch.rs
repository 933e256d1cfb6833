//! S3: after the step that lets the last waiter go, the releaser leaves the object alone. And S5:
//! nothing allocates.
#![cfg(not(rundown_loom))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::{ptr, slice};

use rundown::{
    CacheAwareRundown, HostPlatform, ObjectId, PerCpuRundown, PlainRundown, Platform, Rundown,
    Slot, Variant,
};

#[path = "support/host_counters.rs"]
mod host_counters;

/// What freed memory is filled with.
const POISON: u8 = 0xA5;

/// A platform whose waiter is quicker than any: the wake-up itself frees the object.
struct Impatient;

type Free = Box<dyn FnOnce()>;

thread_local! {
    static ON_WAKE: RefCell<Option<Free>> = const { RefCell::new(None) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

impl Platform for Impatient {
    fn cpu_hint() -> usize {
        0
    }

    fn wake_waiters(_: ObjectId) {
        if let Some(free) = ON_WAKE.take() {
            free();
        }
    }
}

host_counters::counters_of_the_host!(Impatient);

/// An object of the per-CPU kind, or no test if the system does not have it.
fn per_cpu() -> Option<PerCpuRundown<Impatient>> {
    let object = PerCpuRundown::new();
    if let Err(why) = &object {
        assert_eq!(HostPlatform::per_cpu().as_ref(), Err(why));
    }
    object.ok()
}

fn the_last_release_leaves_the_object_alone<R: Variant + 'static>(rundown: Rundown<R>) {
    let memory: *mut MaybeUninit<Rundown<R>> = Box::leak(Box::new(MaybeUninit::uninit()));
    // SAFETY: the memory is this function's own, and fits an `R`.
    let object: *mut Rundown<R> = unsafe { &mut *memory }.write(rundown);
    // SAFETY: it was just written, and lives until the wake-up.
    let rundown = unsafe { &*object };
    for _ in 0..2 {
        rundown.acquire().expect("open");
    }
    rundown.close();
    // SAFETY: one of the two acquired above.
    unsafe { rundown.release() };
    ON_WAKE.set(Some(Box::new(move || {
        // SAFETY: drained: the owner may free the object. All its bytes are atomics or padding.
        unsafe { ptr::write_bytes(object.cast::<u8>(), POISON, size_of::<Rundown<R>>()) };
    })));
    // SAFETY: the other of the two.
    unsafe { rundown.release() };
    assert!(
        ON_WAKE.take().is_none(),
        "the last release did not wake the waiter"
    );
    // SAFETY: the memory was written to the last byte.
    let bytes = unsafe { slice::from_raw_parts(object.cast::<u8>(), size_of::<Rundown<R>>()) };
    let touched = bytes.iter().position(|&byte| byte != POISON);
    assert_eq!(touched, None, "this byte was touched after the wake-up");
    // What the object had besides its memory (a counter, in the per-CPU kind) stays lost.
    // SAFETY: the pointer came from a box, and what is there now needs no drop.
    drop(unsafe { Box::from_raw(memory) });
}

#[test]
fn s3_plain() {
    the_last_release_leaves_the_object_alone(PlainRundown::<Impatient>::new());
}

#[test]
fn s3_cache_aware() {
    the_last_release_leaves_the_object_alone(CacheAwareRundown::<Impatient, [Slot; 1]>::new());
    the_last_release_leaves_the_object_alone(CacheAwareRundown::<Impatient, [Slot; 3]>::new());
}

#[test]
fn s3_per_cpu() {
    if let Some(object) = per_cpu() {
        the_last_release_leaves_the_object_alone(object);
    }
}

/// Counts what each thread allocates.
struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is being torn down is not counted.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn a_whole_life_allocates_nothing(rundown: Rundown<impl Variant>) {
    let before = ALLOCATIONS.get();
    let guards = [
        rundown.try_acquire(),
        rundown.try_acquire(),
        rundown.try_acquire(),
    ];
    rundown.close();
    assert!(rundown.try_acquire().is_none());
    drop(guards);
    assert_eq!(rundown.wait(&rundown::Spin), rundown::WaitOutcome::Drained);
    rundown.reinit().expect("drained");
    assert_eq!(ALLOCATIONS.get(), before);
}

#[test]
fn s5_nothing_allocates() {
    drop(Box::new(1));
    assert_ne!(
        ALLOCATIONS.get(),
        0,
        "the allocator under test is not in use"
    );
    a_whole_life_allocates_nothing(PlainRundown::<Impatient>::new());
    a_whole_life_allocates_nothing(CacheAwareRundown::<Impatient, [Slot; 3]>::new());
    if let Some(object) = per_cpu() {
        a_whole_life_allocates_nothing(object);
    }
}
