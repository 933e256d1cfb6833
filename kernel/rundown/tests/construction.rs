//! How objects are made: in the caller's memory, on the heap, over the caller's slots. And what
//! `Debug` and `Display` show of everything.
#![cfg(not(rundown_loom))]

mod support;

use std::mem::MaybeUninit;
use std::ops::Range;

use rundown::{
    CacheAwareRundown, Protected, Refused, Rundown, Slot, SlotsError, Spin, State, WaitOutcome,
    Wakers, WrongState,
};
use support::{Borrowed, Boxed, Inline, Make, Placed, Plain, for_every_variant, on_cpu, panic_of};

for_every_variant!(rundowns_show_state_and_counts, guards_show_their_object);

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

#[test]
fn an_object_in_place_is_like_any_other() {
    let mut memory = Memory::new();
    let object = Rundown::<Placed>::place(&mut memory.0, 6).expect("exactly enough");
    assert_eq!(object.racy_counts().len(), 6);
    on_cpu(5);
    let guard = object.try_acquire().expect("open");
    assert_eq!(object.racy_counts().nth(5), Some(1));
    object.close();
    on_cpu(0);
    drop(guard);
    assert_eq!(object.wait(&Spin), WaitOutcome::Drained);
    // The memory is the caller's again, for another object.
    let object = Rundown::<Placed>::place(&mut memory.0, 1).expect("more than enough");
    assert_eq!((object.state(), object.racy_counts().len()), (State::Open, 1));
}

/// The whole is lent, the object takes no more than its layout.
#[test]
fn placing_stays_inside_the_layout() {
    let mut memory = Memory::new();
    Rundown::<Placed>::place(&mut memory.0, 2).expect("enough");
    memory.is_untouched(3 * STRIDE..8 * STRIDE);
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
        assert_eq!(refused(&mut memory, 0, given, 1), SlotsError::TooSmall { required, given });
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
    let boxed = Rundown::<Boxed>::try_boxed(5).expect("five slots");
    assert_eq!((boxed.state(), boxed.racy_counts().len()), (State::Open, 5));
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
    assert!(second.try_acquire().is_some());
    second.close();
    assert!(second.is_drained());
}

#[test]
fn defaults_are_open() {
    assert_eq!(Rundown::<Plain>::default().state(), State::Open);
    assert_eq!(Rundown::<Inline<2>>::default().state(), State::Open);
    assert_eq!(format!("{:?}", Wakers::default()), "Wakers { waiting: 0, .. }");
}

fn rundowns_show_state_and_counts<R: Make + ?Sized>() {
    let rundown = R::make();
    R::on_cpu(0);
    let _guard = rundown.try_acquire_many(2).expect("open");
    let shown = format!("{rundown:?}");
    let variant = shown.strip_prefix("Rundown { variant: ").and_then(|rest| rest.split(',').next());
    let variant = variant.expect("its variant comes first");
    assert!(["plain", "cache-aware", "per-CPU"].contains(&variant));
    assert_eq!(variant == "plain", R::PLAIN);
    let slot = R::slot_of(0);
    let expected = format!("state: Open, held: 2, counts: {{{slot}: 2}} }}");
    assert!(shown.ends_with(&expected), "{shown}");
    let drain = rundown.drain();
    assert_eq!(format!("{drain:?}"), format!("Drain({} is draining)", rundown.id()));
    assert!(format!("{rundown:?}").contains("state: Draining, held: 2"));
}

fn guards_show_their_object<R: Make + ?Sized>() {
    let rundown = R::make();
    let id = rundown.id();
    assert_eq!(format!("{id}"), format!("{:#x}", id.get()));
    let one = rundown.try_acquire().expect("open");
    assert_eq!(format!("{one:?}"), format!("RefGuard(1 on {id})"));
    let many = rundown.try_acquire_many(3).expect("open");
    assert_eq!(format!("{many:?}"), format!("RefGuard(3 on {id})"));
    let outstanding = rundown.try_wait().expect_err("four are held");
    assert!(
        outstanding.to_string().starts_with(&format!("the object at {id} is draining, 4 held"))
    );
    assert!(format!("{outstanding:?}").contains("held: 4"));
}

#[test]
fn values_show_what_protection_allows() {
    let object = Protected::new(Rundown::<Plain>::new(), (1, "two"));
    assert_eq!(
        format!("{object:?}"),
        "Protected { rundown: Rundown { variant: plain, state: Open, held: 0, counts: {} }, value: (1, \"two\") }"
    );
    let guard = object.try_acquire().expect("open");
    assert_eq!(format!("{guard:?}"), "Guard((1, \"two\"))");
    let mapped = rundown::Guard::map(guard, |pair| pair.1);
    assert_eq!(format!("{mapped:?} {mapped}"), "Guard(\"two\") two");
    object.close();
    assert_eq!(
        format!("{object:?}"),
        "Protected { rundown: Rundown { variant: plain, state: Draining, held: 1, counts: {0: 1} }, .. }"
    );
    let future = object.begin_run_down();
    assert!(format!("{future:?}").starts_with("RunDown(Drain("));
}

#[test]
fn errors_are_sentences() {
    use State::{Claimed, Closing, Drained, Draining, Open, RunDown};
    let states = [Open, Closing, Draining, Drained, RunDown, Claimed].map(|it| it.to_string());
    let shown = ["open", "closing", "draining", "drained", "run down", "claimed"];
    assert_eq!(states, shown);
    let wrong = WrongState { found: Drained }.to_string();
    assert_eq!(wrong, "not legal while the object is drained");
    let closed = "the object is closed";
    let full = "the object cannot count so many protections";
    let refused = [Refused::Closed, Refused::Full].map(|it| it.to_string());
    assert_eq!(refused, [closed, full]);
    let (required, given) = (384, 1);
    let slots = [
        SlotsError::NoSlots,
        SlotsError::TooManySlots,
        SlotsError::Misaligned { required },
        SlotsError::TooSmall { required, given },
        SlotsError::OutOfMemory,
    ];
    let shown = [
        "a cache-aware rundown needs at least one slot",
        "so many slots fit into no memory",
        "the memory must start at a multiple of 384 bytes",
        "the memory has 1 bytes, 384 are needed",
        "no memory for so many slots",
    ];
    assert_eq!(slots.map(|it| it.to_string()), shown);
}

#[test]
fn object_ids_spread_over_buckets() {
    // What allocators hand out: neighbours on the usual strides.
    let object = CacheAwareRundown::<support::TestPlatform, [Slot; 1]>::new();
    assert_eq!(object.id().get(), (&raw const object).addr());
    for buckets in [1, 2, 7, 64, 1000] {
        assert!(object.id().bucket(buckets) < buckets);
    }
    for stride in [16, 64, 128, 256, 384, 4096] {
        let block: Vec<u8> = vec![0; 64 * stride + align_of::<Rundown<Plain>>()];
        let first = block.as_ptr().addr().next_multiple_of(8);
        let mut hit = [0; 64];
        for index in 0..64 {
            let at = block.as_ptr().wrapping_add(first - block.as_ptr().addr() + index * stride);
            // SAFETY: inside the block, aligned to eight, zeroed: an atomic word, never written.
            let object = unsafe { &*at.cast::<Rundown<Plain>>() };
            hit[object.id().bucket(64)] += 1;
        }
        let used = hit.iter().filter(|&&count| count > 0).count();
        let worst = hit.iter().max().expect("64 buckets");
        // Addresses modulo 64 would all be in one bucket from a stride of 64 on. Balls thrown at
        // random: 40 buckets in use, about 4 in the fullest.
        assert!(used >= 24, "stride {stride}: only {used} buckets in use");
        assert!(*worst <= 4, "stride {stride}: {worst} in one bucket");
    }
}
