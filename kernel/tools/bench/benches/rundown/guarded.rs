//! One use of a guarded value, the same for every contender: alone, with work, and of one of many.
//!
//! `unsafe` here: assembly without an instruction.

use std::arch::asm;
use std::iter;
use std::sync::LazyLock;

use bench::{Crowd, MakeObject, Object, shared, shuffled, time, uses};

/// Something that guards a value.
pub(crate) trait Guarded: Send + Sync + 'static {
    /// Takes protection, lets `look` have the value, gives protection back.
    fn with(&self, look: impl FnOnce(u64));
}

/// The uses of these types, as `|object, look| ...`.
macro_rules! guarded {
    ($($(@[$($generics:tt)*])? $type:ty: |$object:ident, $look:ident| $use:expr;)*) => {$(
        impl$(<$($generics)*>)? crate::guarded::Guarded for $type {
            #[inline(always)]
            fn with(&self, $look: impl FnOnce(u64)) {
                let $object = self;
                $use;
            }
        }
    )*};
}
pub(crate) use guarded;

/// Each use looks at the value.
pub(crate) fn looks<T: Guarded>(make: fn() -> T) -> MakeObject {
    shared(make, |object, watch| watch.pairs(move || object.with(look)))
}

/// Each use computes for 25 ns.
pub(crate) fn works<T: Guarded>(make: fn() -> T) -> MakeObject {
    let turns = turns();
    shared(make, move |object, watch| {
        let mut product = 1;
        watch.pairs(|| object.with(|value| work(turns, &mut product, value)))
    })
}

/// Each use looks at one of many. They lie in one piece of memory; the order in which they are
/// picked stands for the table of pointers in which a program looks its objects up.
pub(crate) fn picks<T: Guarded>(lines: usize, slots: usize, make: fn() -> T) -> Crowd {
    let make = move |count| -> Object {
        let objects: Box<[T]> = iter::repeat_with(make).take(count).collect();
        let order = shuffled(0..count);
        Box::new(move |watch| uses(watch, count, |pick| objects[order[pick]].with(look)))
    };
    Crowd { lines, slots, make: Box::new(make) }
}

/// The same for objects that are pointers, as a program keeps them in its table.
pub(crate) fn picks_pointers<T: Guarded>(make: fn() -> T) -> Crowd {
    let make = move |count| -> Object {
        let table = shuffled(iter::repeat_with(make).take(count));
        Box::new(move |watch| uses(watch, count, |pick| table[pick].with(look)))
    };
    Crowd { lines: 1, slots: 0, make: Box::new(make) }
}

/// Looks at a value. [`black_box`](std::hint::black_box) would write it to memory first, and the
/// next locked instruction would wait for that.
#[inline(always)]
pub(crate) fn look(value: u64) {
    // SAFETY: no instruction at all; it only takes the value into a register.
    unsafe { asm!("/* {} */", in(reg) value, options(nostack, preserves_flags)) };
}

/// Multiplications, each of which waits for the one before, those of the last use included. They
/// touch no memory.
#[inline]
fn work(turns: u32, product: &mut u64, value: u64) {
    let mut factor = *product ^ value;
    for _ in 0..turns {
        factor = factor.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // SAFETY: no instruction at all; the product is not known beforehand.
        unsafe { asm!("/* {} */", inout(reg) factor, options(nomem, nostack, preserves_flags)) };
    }
    *product = factor;
}

/// How many of them take 25 ns.
fn turns() -> u32 {
    static TURNS: LazyLock<u32> = LazyLock::new(|| {
        // Short enough that some of them are not interrupted.
        const SOME: u32 = 10_000;
        let mut product = 1;
        let ns = (0..1_000).map(|_| time(|| work(SOME, &mut product, 1))).fold(f64::MAX, f64::min);
        (25.0 * f64::from(SOME) / ns).round() as u32
    });
    *TURNS
}
