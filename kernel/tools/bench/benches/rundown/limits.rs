//! The bare instructions: no design that uses them can be faster. x86-64 only.
//!
//! `unsafe` here: inline assembly.

use std::arch::asm;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::teardown::{Closable, time};
use bench::{Contender, Group, Object, OwnWord, names};

pub(crate) fn contenders() -> Vec<Contender> {
    let limit = |name, object| Contender {
        name,
        group: Group::Limit,
        memory: None,
        object,
    };
    vec![
        limit(names::UNLOCKED, plain as fn() -> Object),
        limit(names::LOCKED, own_slot),
        limit("one shared word, lock xadd twice", shared_word),
        limit("own slots, not padded, lock xadd twice", unpadded),
    ]
}

/// A counter on cache lines of its own, as [`rundown::Slot`].
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Padded(pub(crate) AtomicU64);

/// So many counters, one for each thread.
pub(crate) fn slots<T: Default>(count: usize) -> Box<[T]> {
    (0..count).map(|_| T::default()).collect()
}

/// More threads than these share slots.
pub(crate) const SLOTS: usize = 256;

fn plain() -> Object {
    let (flag, word) = (AtomicU64::new(0), OwnWord::new());
    Box::new(move |watch| {
        let (flag, word) = (&flag, word.here());
        watch.pairs(move || {
            assert!(flag.load(Ordering::Relaxed) == 0, "nobody closes it");
            word.inc();
            word.dec();
        });
    })
}

fn own_slot() -> Object {
    let slots = slots::<Padded>(SLOTS);
    Box::new(move |watch| {
        let slot = &slots[bench::cpu() % SLOTS].0;
        watch.pairs(|| {
            lock_xadd(slot, 1);
            lock_xadd(slot, u64::MAX);
        });
    })
}

fn shared_word() -> Object {
    let word = Padded::default();
    Box::new(move |watch| {
        let word = &word.0;
        watch.pairs(|| {
            lock_xadd(word, 1);
            lock_xadd(word, u64::MAX);
        });
    })
}

fn unpadded() -> Object {
    // Eight of them on a cache line.
    let slots = slots::<AtomicU64>(SLOTS);
    Box::new(move |watch| {
        let slot = &slots[bench::cpu() % SLOTS];
        watch.pairs(|| {
            lock_xadd(slot, 1);
            lock_xadd(slot, u64::MAX);
        });
    })
}

/// The instruction that `fetch_add` is when its result is used.
#[inline]
fn lock_xadd(word: &AtomicU64, add: u64) -> u64 {
    let mut value = add;
    // SAFETY: an atomic read-modify-write of a word that is borrowed and atomic.
    unsafe {
        asm!("lock xadd qword ptr [{word}], {value}", word = in(reg) word.as_ptr(), value = inout(reg) value, options(nostack));
    }
    value
}

/// Looks at a value. [`black_box`](std::hint::black_box) would write it to memory first, and the next
/// locked instruction would wait for that.
#[inline]
pub(crate) fn look(value: u64) {
    // SAFETY: no instruction at all; it only takes the value into a register.
    unsafe { asm!("/* {} */", in(reg) value, options(nostack, preserves_flags)) };
}

/// What any close of a slot per CPU must do at least: one locked instruction on each.
pub(crate) struct Sweep(Box<[Padded]>);

impl Sweep {
    pub(crate) fn new(count: usize) -> Self {
        Self(slots(count))
    }
}

impl Closable for Sweep {
    fn touch(&self) {}

    fn tear_down(&self) {
        let sum = self.0.iter().map(|slot| lock_xadd(&slot.0, 1 << 63));
        assert_eq!(sum.fold(0, u64::wrapping_add), 0, "nothing is held");
    }

    fn tear_down_together(&self) -> f64 {
        time(|| self.tear_down())
    }

    fn reopen(&self) {
        for slot in &self.0 {
            slot.0.store(0, Ordering::Relaxed);
        }
    }
}
