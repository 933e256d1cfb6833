//! S3: the step that lets the last waiter go is the last on the object. S5: nothing allocates.
#![cfg(not(rundown_loom))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::{ptr, slice};

use rundown::{
    CacheAwareRundown, Completion, HostPlatform, ObjectId, PerCpuRundown, PlainRundown, Platform,
    Rundown, Slot, Variant,
};

#[path = "support/host_counters.rs"]
mod host_counters;

/// The byte that fills freed memory.
const POISON: u8 = 0xA5;

/// A platform whose waiter is quicker than any: the wake-up itself frees the object.
struct Impatient;

type Free = Box<dyn FnOnce()>;

thread_local! {
    static ON_WAKE: RefCell<Option<Free>> = const { RefCell::new(None) };
    static FREES: Cell<usize> = const { Cell::new(0) };
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

/// A per-CPU object, or no test if the system does not have it.
fn per_cpu() -> Option<PerCpuRundown<Impatient>> {
    let object = PerCpuRundown::new();
    if let Err(why) = &object {
        assert_eq!(HostPlatform::per_cpu().as_ref(), Err(why));
    }
    object.ok()
}

/// An object freed by its waiter, or by the completion beside it in the same piece of memory.
#[repr(C)]
struct Device<R: Variant> {
    rundown: Rundown<R>,
    completion: Completion,
}

/// Overwrites the device's own bytes in its memory.
unsafe fn free<R: Variant>(device: *mut ()) {
    // SAFETY: drained, and this is the owner. Nothing needs a drop; a counter is leaked.
    unsafe { ptr::write_bytes(device.cast::<u8>(), POISON, size_of::<Device<R>>()) };
    FREES.set(FREES.get() + 1);
}

/// The step that ends the drain, the last release or the close, is the last that touches the
/// object, which is freed in it: by the wake-up or by the completion.
fn the_last_step_leaves_the_object_alone<R: Variant + 'static>(
    rundown: Rundown<R>,
    held: u32,
    by_completion: bool,
) {
    let device: *mut MaybeUninit<Device<R>> = Box::leak(Box::new(MaybeUninit::uninit()));
    let device: *mut Device<R> = device.cast();
    // SAFETY: the device is the context, and any thread may free it.
    let completion = unsafe { Completion::new(free::<R>, device.cast()) };
    // SAFETY: the memory is this function's own, and fits.
    unsafe { device.write(Device { rundown, completion }) };
    // SAFETY: it was just written, and lives until it is freed.
    let object = unsafe { &(*device).rundown };
    object.acquire_many(held).expect("open");
    let before = FREES.get();
    if by_completion {
        // SAFETY: inside the device.
        let completion = unsafe { &raw const (*device).completion };
        // SAFETY: it lives until it runs: it frees itself.
        let left = unsafe { object.close_then_unchecked(completion) };
        assert_eq!(left, Ok(()));
    } else {
        object.close();
        // SAFETY: at the wake-up, the object has drained.
        ON_WAKE.set(Some(Box::new(move || unsafe { free::<R>(device.cast()) })));
    }
    for _ in 0..held {
        assert_eq!(FREES.get(), before, "too early");
        // SAFETY: acquired above; the object is there, since protection is held.
        unsafe { object.release() };
    }
    assert_eq!(FREES.get(), before + 1);
    // SAFETY: the memory was written to the last byte.
    let bytes = unsafe { slice::from_raw_parts(device.cast::<u8>(), size_of::<Device<R>>()) };
    let touched = bytes.iter().position(|&byte| byte != POISON);
    assert_eq!(touched, None, "this byte was touched after the object was freed");
    // SAFETY: the pointer came from a box, and what is there now needs no drop.
    drop(unsafe { Box::from_raw(device.cast::<MaybeUninit<Device<R>>>()) });
}

fn on_each_way<R: Variant + 'static>(make: impl Fn() -> Option<Rundown<R>>) {
    for (held, by_completion) in [(1, false), (2, false), (0, true), (1, true), (2, true)] {
        if let Some(object) = make() {
            the_last_step_leaves_the_object_alone(object, held, by_completion);
        }
    }
}

#[test]
fn s3_plain() {
    on_each_way(|| Some(PlainRundown::<Impatient>::new()));
}

#[test]
fn s3_cache_aware() {
    on_each_way(|| Some(CacheAwareRundown::<Impatient, [Slot; 3]>::new()));
}

#[test]
fn s3_per_cpu() {
    on_each_way(per_cpu);
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
    static NOTHING: Completion = Completion::of(|| {});
    let before = ALLOCATIONS.get();
    let guards = [rundown.try_acquire(), rundown.try_acquire(), rundown.try_acquire()];
    rundown.close();
    assert!(rundown.try_acquire().is_none());
    drop(guards);
    assert_eq!(rundown.wait(&rundown::Spin), rundown::WaitOutcome::Drained);
    rundown.reinit().expect("drained");
    let guard = rundown.try_acquire().expect("open");
    rundown.close_then(&NOTHING).expect("open");
    drop((guard.clone(), guard));
    assert!(rundown.is_drained());
    assert_eq!(ALLOCATIONS.get(), before);
}

#[test]
fn s5_nothing_allocates() {
    drop(Box::new(1));
    assert_ne!(ALLOCATIONS.get(), 0, "the allocator under test is not in use");
    a_whole_life_allocates_nothing(PlainRundown::<Impatient>::new());
    a_whole_life_allocates_nothing(CacheAwareRundown::<Impatient, [Slot; 3]>::new());
    if let Some(object) = per_cpu() {
        a_whole_life_allocates_nothing(object);
    }
}
