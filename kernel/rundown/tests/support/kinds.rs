//! Every kind under test, and the tables that run a test over all of them.

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::slice;

use rundown::{CacheAwareRundown, PlaceError, Rundown, RundownRef, Slot};

use super::TestPlatform;

/// A kind under test.
pub(crate) trait Make: Rundown<Platform = TestPlatform> + 'static {
    /// How many slots it has; 1 for the plain kind.
    const SLOTS: usize;

    /// Whether it is the plain kind, which finds an over-release in the call and never sweeps.
    const PLAIN: bool = false;

    /// An open object.
    fn make() -> Box<Self>;

    /// One that is run down from the start (S9).
    fn make_closed() -> Box<Self>;
}

pub(crate) type Plain = RundownRef<TestPlatform>;
pub(crate) type Inline<const N: usize> = CacheAwareRundown<TestPlatform, [Slot; N]>;
/// Three slots.
pub(crate) type Boxed = CacheAwareRundown<TestPlatform>;
/// Eight slots.
pub(crate) type Borrowed = CacheAwareRundown<TestPlatform, &'static mut [Slot]>;
/// Four slots, in one piece of memory with the object.
pub(crate) type Placed = CacheAwareRundown<TestPlatform, [Slot]>;

impl Make for Plain {
    const SLOTS: usize = 1;
    const PLAIN: bool = true;

    fn make() -> Box<Self> {
        Box::new(Self::new())
    }

    fn make_closed() -> Box<Self> {
        Box::new(Self::closed())
    }
}

impl<const N: usize> Make for Inline<N> {
    const SLOTS: usize = N;

    fn make() -> Box<Self> {
        Box::new(Self::new())
    }

    fn make_closed() -> Box<Self> {
        Box::new(Self::new().born_closed())
    }
}

impl Make for Boxed {
    const SLOTS: usize = 3;

    fn make() -> Box<Self> {
        Box::new(Self::boxed(Self::SLOTS))
    }

    fn make_closed() -> Box<Self> {
        Box::new(Self::boxed(Self::SLOTS).born_closed())
    }
}

impl Make for Borrowed {
    const SLOTS: usize = 8;

    fn make() -> Box<Self> {
        let slots: Vec<Slot> = (0..Self::SLOTS).map(|_| Slot::new()).collect();
        Box::new(Self::with_slots(slots.leak()).expect("eight slots"))
    }

    fn make_closed() -> Box<Self> {
        Box::new(Self::make().born_closed())
    }
}

impl Make for Placed {
    const SLOTS: usize = 4;

    fn make() -> Box<Self> {
        in_place(Self::place)
    }

    fn make_closed() -> Box<Self> {
        in_place(Self::place_closed)
    }
}

/// A `place` or `place_closed`.
type Place = fn(&mut [MaybeUninit<u8>], usize) -> Result<&mut Placed, PlaceError>;

/// Memory as large and aligned as `layout` says, and the object in it. A box frees it by the layout
/// of the object itself.
fn in_place(place: Place) -> Box<Placed> {
    let layout = Placed::layout(Placed::SLOTS).expect("four slots");
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    let memory = memory.cast::<MaybeUninit<u8>>();
    // SAFETY: just allocated, so large, and nobody else's.
    let memory = unsafe { slice::from_raw_parts_mut(memory, layout.size()) };
    let object = place(memory, Placed::SLOTS).expect("as `layout` said");
    assert_eq!(Layout::for_value(object), layout);
    // SAFETY: allocated with this layout, as just checked.
    unsafe { Box::from_raw(object) }
}

/// The table: each generic test function, run over every kind as a test of its own.
macro_rules! for_every_kind {
    ($($test:ident),* $(,)?) => {
        $crate::support::for_every_sized_kind!($($test),*);
        $crate::support::for_every_sized_kind!(@kind placed, $crate::support::Placed, $($test),*);
    };
}

/// The same for the kinds that can be moved.
macro_rules! for_every_sized_kind {
    (@kind $kind:ident, $type:ty, $($test:ident),*) => {
        mod $kind {
            $(
                #[test]
                fn $test() {
                    $crate::support::within_a_minute(super::$test::<$type>);
                }
            )*
        }
    };
    ($($test:ident),* $(,)?) => {
        $crate::support::for_every_sized_kind!(@kind plain, $crate::support::Plain, $($test),*);
        $crate::support::for_every_sized_kind!(@kind slots_1, $crate::support::Inline<1>, $($test),*);
        $crate::support::for_every_sized_kind!(@kind slots_2, $crate::support::Inline<2>, $($test),*);
        $crate::support::for_every_sized_kind!(@kind slots_3_boxed, $crate::support::Boxed, $($test),*);
        $crate::support::for_every_sized_kind!(@kind slots_8_borrowed, $crate::support::Borrowed, $($test),*);
    };
}

pub(crate) use {for_every_kind, for_every_sized_kind};
