//! Every variant under test, and the tables that run a test over all of them.

use std::alloc::Layout;
use std::io::Write;
use std::mem::MaybeUninit;
use std::slice;

use rundown::{
    CacheAware, HostPlatform, PerCpu, PerCpuPlatform, Rundown, Slot, SlotsError, Variant,
};

use super::{Random, TestPlatform, affinity, on_cpu};

/// A variant under test.
pub(crate) trait Make: Variant<Platform = TestPlatform> + 'static {
    /// Whether it is plain, which finds an over-release in the call and has no slots to drain.
    const PLAIN: bool = false;

    /// Whether a release on a closed object is still counted in its slot.
    const COUNTS_GO_ON: bool = true;

    /// How many slots it has; 1 for plain.
    fn slots() -> usize;

    /// Which of them the CPU with this index uses.
    fn slot_of(cpu: usize) -> usize {
        cpu % Self::slots()
    }

    /// From now on, the calling thread uses the slot of the CPU with this index.
    fn on_cpu(cpu: usize) {
        on_cpu(cpu);
    }

    /// The same for any CPU: as if the thread were moved about all the time.
    fn wander(random: &mut Random) {
        Self::on_cpu(random.next() as usize);
    }

    /// Why the system cannot have this variant, if so.
    fn missing() -> Option<String> {
        None
    }

    /// An open object.
    fn make() -> Box<Rundown<Self>>;

    /// One that is run down from the start (S9).
    fn make_closed() -> Box<Rundown<Self>>;
}

pub(crate) type Plain = rundown::Plain<TestPlatform>;
pub(crate) type Inline<const N: usize> = CacheAware<TestPlatform, [Slot; N]>;
/// Three slots.
pub(crate) type Boxed = CacheAware<TestPlatform>;
/// Eight slots.
pub(crate) type Borrowed = CacheAware<TestPlatform, &'static mut [Slot]>;
/// As many slots as the machine may have CPUs, and one more.
pub(crate) type Counters = PerCpu<TestPlatform>;
/// Four slots, in one piece of memory with the object.
pub(crate) type Placed = CacheAware<TestPlatform, [Slot]>;

/// A variant that can be moved, and whose CPUs are pretended.
macro_rules! make {
    ($type:ty, $slots:expr, $object:expr $(, const $N:ident)? $(, PLAIN = $plain:expr)?) => {
        impl$(<const $N: usize>)? Make for $type {
            $(const PLAIN: bool = $plain;)?

            fn slots() -> usize {
                $slots
            }

            fn make() -> Box<Rundown<Self>> {
                Box::new($object)
            }

            fn make_closed() -> Box<Rundown<Self>> {
                Box::new(Self::make().born_closed())
            }
        }
    };
}

make!(Plain, 1, Rundown::<Self>::new(), PLAIN = true);
make!(Inline<N>, N, Rundown::<Self>::new(), const N);
make!(Boxed, 3, Rundown::<Self>::boxed(Self::slots()));
make!(Borrowed, 8, {
    let slots: Vec<Slot> = (0..Self::slots()).map(|_| Slot::new()).collect();
    Rundown::<Self>::with_slots(slots.leak()).expect("eight slots")
});

impl Make for Placed {
    fn slots() -> usize {
        4
    }

    fn make() -> Box<Rundown<Self>> {
        in_place(Rundown::<Self>::place)
    }

    fn make_closed() -> Box<Rundown<Self>> {
        in_place(Rundown::<Self>::place_closed)
    }
}

/// Its CPUs are real: the thread moves.
impl Make for Counters {
    const COUNTS_GO_ON: bool = false;

    fn slots() -> usize {
        TestPlatform::cpus()
    }

    fn slot_of(cpu: usize) -> usize {
        affinity::allowed(cpu)
    }

    fn on_cpu(cpu: usize) {
        affinity::move_to(affinity::allowed(cpu));
    }

    /// Now and then only. A move takes context switches, and on a busy machine the thread queues up
    /// again.
    fn wander(random: &mut Random) {
        if random.below(128) == 0 {
            Self::on_cpu(random.next() as usize);
        }
    }

    fn missing() -> Option<String> {
        HostPlatform::per_cpu().err().map(|why| why.to_string())
    }

    fn make() -> Box<Rundown<Self>> {
        Box::new(Rundown::<Self>::new().expect("there are counters"))
    }

    fn make_closed() -> Box<Rundown<Self>> {
        Box::new(Self::make().born_closed())
    }
}

/// A `place` or `place_closed`.
type Place = fn(&mut [MaybeUninit<u8>], usize) -> Result<&mut Rundown<Placed>, SlotsError>;

#[repr(align(128))]
struct Stride(#[expect(dead_code, reason = "memory")] [MaybeUninit<u8>; 128]);

/// Memory as large and aligned as `layout` says, and the object in it. A box frees it by the layout
/// of the object itself.
fn in_place(place: Place) -> Box<Rundown<Placed>> {
    let memory = (0..=Placed::slots()).map(|_| Stride([MaybeUninit::uninit(); 128]));
    let memory: &'static mut [Stride] = Box::leak(memory.collect());
    let layout = Layout::for_value(memory);
    // SAFETY: the same memory, as bytes.
    let bytes = unsafe { slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), layout.size()) };
    let object = place(bytes, Placed::slots()).expect("as `layout` says");
    assert_eq!(Layout::for_value(object), layout);
    // SAFETY: allocated with this layout, as just checked.
    unsafe { Box::from_raw(object) }
}

/// Whether the system has this variant. If not, the test says that it is skipped, and why; by
/// [`stderr`](std::io::stderr), so that it is seen although the test passes.
pub(crate) fn there_is<R: Make + ?Sized>() -> bool {
    let Some(why) = R::missing() else {
        return true;
    };
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    writeln!(std::io::stderr(), "{test} skipped: {why}").expect("standard error is open");
    false
}

/// The table: each generic test function, run over every variant as a test of its own.
macro_rules! for_every_variant {
    ($($test:ident),* $(,)?) => {
        $crate::support::for_every_sized_variant!($($test),*);
        $crate::support::for_every_sized_variant!(@variant placed, $crate::support::Placed, $($test),*);
    };
}

/// The same for the variants that can be moved.
macro_rules! for_every_sized_variant {
    (@variant $variant:ident, $type:ty, $($test:ident),*) => {
        mod $variant {
            $(
                #[test]
                fn $test() {
                    if $crate::support::there_is::<$type>() {
                        $crate::support::within_a_minute(super::$test::<$type>);
                    }
                }
            )*
        }
    };
    ($($test:ident),* $(,)?) => {
        $crate::support::for_every_sized_variant!(@variant plain, $crate::support::Plain, $($test),*);
        $crate::support::for_every_sized_variant!(@variant slots_1, $crate::support::Inline<1>, $($test),*);
        $crate::support::for_every_sized_variant!(@variant slots_2, $crate::support::Inline<2>, $($test),*);
        $crate::support::for_every_sized_variant!(@variant slots_3_boxed, $crate::support::Boxed, $($test),*);
        $crate::support::for_every_sized_variant!(@variant slots_8_borrowed, $crate::support::Borrowed, $($test),*);
        $crate::support::for_every_sized_variant!(@variant per_cpu, $crate::support::Counters, $($test),*);
    };
}

pub(crate) use {for_every_sized_variant, for_every_variant};
