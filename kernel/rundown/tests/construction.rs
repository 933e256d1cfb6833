//! How objects are made: in the caller's memory, on the heap, over the caller's slots. And what
//! `Debug` and `Display` show of everything.
#![cfg(not(rundown_loom))]

mod support;

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::AtomicU64;

use rundown::{Guard, HostPlatform, Protected, Rundown, Slot, SlotsError, Spin, State, Wakers};
use support::{Borrowed, Boxed, Counters, Inline, Placed, Plain, on_cpu, panic_of};

/// An object's stride, in bytes.
const STRIDE: usize = 128;

/// Memory on a good boundary.
#[repr(align(128))]
struct Memory([MaybeUninit<u8>; 8 * STRIDE]);

impl Memory {
    fn new() -> Self {
        Self([MaybeUninit::new(0xA5); 8 * STRIDE])
    }

    fn is_untouched(&self, part: Range<usize>) {
        for byte in &self.0[part] {
            // SAFETY: `new` has initialised it; objects are written only in other parts.
            let byte = unsafe { byte.assume_init() };
            assert_eq!(byte, 0xA5, "the memory was written");
        }
    }
}

/// The answer of `place` for the part of `memory` from `start`, so long.
fn refused(memory: &mut Memory, start: usize, length: usize, slots: usize) -> SlotsError {
    let part = &mut memory.0[start..start + length];
    let error = Rundown::<Placed>::place(part, slots).expect_err("must be refused");
    memory.is_untouched(start..start + length);
    error
}

#[test]
fn the_layout_grows_by_a_stride_per_slot() {
    let of = |slots| Rundown::<Placed>::layout(slots).expect("few slots");
    for slots in [1, 2, 3, 64, 255, 4096] {
        assert_eq!(of(slots).align(), STRIDE);
        assert_eq!(of(slots).size(), STRIDE + slots * STRIDE);
    }
    assert_eq!(of(3).size(), size_of::<Rundown<Inline<3>>>());
    assert_eq!(Rundown::<Placed>::layout(0), Err(SlotsError::NoSlots));
    for slots in [usize::MAX, usize::MAX / STRIDE, isize::MAX as usize / STRIDE] {
        assert_eq!(Rundown::<Placed>::layout(slots), Err(SlotsError::TooManySlots));
    }
}

/// All is lent, the object takes only its layout, and afterwards the memory is the caller's again.
#[test]
fn an_object_in_place_stays_inside_its_layout() {
    let mut memory = Memory::new();
    let object = Rundown::<Placed>::place(&mut memory.0, 2).expect("more than enough");
    assert_eq!(object.racy_counts().len(), 2);
    memory.is_untouched(3 * STRIDE..8 * STRIDE);
    let object = Rundown::<Placed>::place(&mut memory.0, 7).expect("exactly enough");
    on_cpu(6);
    object.acquire().expect("open");
    assert_eq!(object.racy_counts().collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn memory_that_does_not_do_is_refused_and_left_alone() {
    let mut memory = Memory::new();
    for start in [1, 8, 64, 127] {
        assert_eq!(
            refused(&mut memory, start, 2 * STRIDE, 1),
            SlotsError::Misaligned { required: STRIDE }
        );
    }
    let required = 2 * STRIDE;
    for given in [0, 1, required - 1] {
        let error = refused(&mut memory, 0, given, 1);
        assert_eq!(error, SlotsError::TooSmall { required, given });
        assert_eq!(
            error.to_string(),
            format!("the memory has {given} bytes, {required} are needed")
        );
    }
    assert_eq!(refused(&mut memory, 0, STRIDE, 0), SlotsError::NoSlots);
    assert_eq!(refused(&mut memory, 0, STRIDE, usize::MAX), SlotsError::TooManySlots);
}

#[test]
fn boxes_say_why_there_is_none() {
    assert_eq!(Rundown::<Boxed>::try_boxed(0).err(), Some(SlotsError::NoSlots));
    for slots in [usize::MAX, isize::MAX as usize / STRIDE] {
        assert_eq!(Rundown::<Boxed>::try_boxed(slots).err(), Some(SlotsError::OutOfMemory));
    }
    let text = panic_of(|| drop(Rundown::<Boxed>::boxed(0)));
    assert_eq!(text, SlotsError::NoSlots.to_string());
    let none: &'static mut [Slot] = &mut [];
    let refused = Rundown::<Borrowed>::with_slots(none).err();
    assert_eq!(refused, Some(SlotsError::NoSlots));
}

#[test]
fn slots_that_served_before_start_at_zero() {
    let slots: *mut [Slot] = Box::leak(Box::new([Slot::new(), Slot::new()]));
    {
        // SAFETY: leaked, and not shared.
        let first = Rundown::<Borrowed>::with_slots(unsafe { &mut *slots }).expect("two slots");
        on_cpu(0);
        first.acquire().expect("open");
        first.close();
    }
    // SAFETY: the first object is gone.
    let second = Rundown::<Borrowed>::with_slots(unsafe { &mut *slots }).expect("two slots");
    assert_eq!((second.state(), second.racy_held()), (State::Open, 0));
}

#[test]
fn what_debug_shows() {
    let object = Rundown::<Inline<2>>::default();
    let id = object.id();
    assert_eq!(format!("{id}"), format!("{:#x}", id.get()));
    on_cpu(1);
    let one = object.try_acquire().expect("open");
    let three = object.try_acquire_many(3).expect("open");
    assert_eq!(format!("{one:?} {three:?}"), format!("RefGuard(1 on {id}) RefGuard(3 on {id})"));
    let start = "Rundown { variant: cache-aware, ";
    assert_eq!(format!("{object:?}"), format!("{start}state: Open, held: 4, counts: {{1: 4}} }}"));
    let drain = object.drain();
    assert_eq!(format!("{drain:?}"), format!("Drain({id} is draining)"));
    assert!(format!("{object:?}").starts_with(&format!("{start}state: Draining, held: 4")));
    let outstanding = drain.outstanding();
    let text = format!("the object at {id} is draining, 4 held");
    assert!(outstanding.to_string().starts_with(&text));
    assert!(format!("{outstanding:?}").contains("held: 4"));
    assert_eq!(format!("{:?}", Wakers::default()), "Wakers { waiting: 0, .. }");
    if let Ok(object) = HostPlatform::per_cpu().and_then(|()| Rundown::<Counters>::new()) {
        assert!(format!("{object:?}").starts_with("Rundown { variant: per-CPU, state: Open"));
    }
}

#[test]
fn what_values_and_their_errors_show() {
    let object = Protected::new(Rundown::<Plain>::default(), (1, "two"));
    let start = "Protected { rundown: Rundown { variant: plain, state: ";
    let open = format!("{start}Open, held: 0, counts: {{}} }}, value: (1, \"two\") }}");
    assert_eq!(format!("{object:?}"), open);
    let error = object.publish((3, "four")).expect_err("open");
    let text = "the new value was not put in: not legal while the object is open";
    assert_eq!(error.to_string(), text);
    assert!(format!("{error:?}").starts_with("Rejected { reason: WrongState"));
    let guard = object.try_acquire().expect("open");
    assert_eq!(format!("{guard:?}"), "Guard((1, \"two\"))");
    let part = Guard::map(guard, |pair| pair.1);
    assert_eq!(format!("{part:?} {part}"), "Guard(\"two\") two");
    let run_down = object.begin_run_down();
    assert_eq!(format!("{run_down:?}"), format!("RunDown(Drain({} is draining))", object.id()));
    let draining = format!("{start}Draining, held: 1, counts: {{0: 1}} }}, .. }}");
    assert_eq!(format!("{object:?}"), draining);
    drop(part);
    let retired = object.begin_run_down().wait(&Spin).expect("drained");
    assert_eq!(format!("{retired:?}"), format!("Retired({})", object.id()));
}

/// Addresses modulo 64 would all be in one bucket from a stride of 64 on. Balls thrown at random:
/// 40 buckets in use, about 4 in the fullest.
#[test]
fn object_ids_spread_over_buckets() {
    let object = Rundown::<Inline<1>>::new();
    assert_eq!(object.id().get(), (&raw const object).addr());
    for buckets in [1, 2, 7, 64, 1000] {
        assert!(object.id().bucket(buckets) < buckets);
    }
    // Addresses from allocators: neighbours on the usual strides.
    for stride in [16, 64, 128, 256, 384, 4096] {
        let block: Vec<AtomicU64> = (0..8 * stride).map(|_| AtomicU64::new(0)).collect();
        let mut hit = [0; 64];
        for at in block.chunks(stride / 8) {
            // SAFETY: inside the block, and aligned: a word that is zero, never written.
            let object = unsafe { &*at.as_ptr().cast::<Rundown<Plain>>() };
            hit[object.id().bucket(64)] += 1;
        }
        let used = hit.iter().filter(|&&count| count > 0).count();
        assert!(used >= 24, "stride {stride}: only {used} buckets in use");
        assert!(hit.iter().all(|&count| count <= 4), "stride {stride}: {hit:?}");
    }
}
