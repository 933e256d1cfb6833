//! The bare instructions: no design that uses them can be faster. And the fast paths of other
//! kernels, rebuilt from what their documentation says, so that designs are compared and not
//! implementations: only acquire and release; nothing closes these. x86-64 only.
//!
//! `unsafe` here: inline assembly.

use std::arch::asm;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::{Closable, Contender, LOCKED, Object, OwnWord, UNLOCKED, WINDOWS, time};

use crate::contenders::contenders;

pub(crate) fn contenders() -> Vec<Contender> {
    let mut all = contenders! { Shape:
        WINDOWS, windows();
        "percpu_ref's shape: RCU nesting, plain inc", percpu_ref();
        "C++26 counting_scope's shape: one word", counting_scope();
    };
    all.extend(contenders! { Limit:
        UNLOCKED, unlocked();
        LOCKED, locked(SLOTS, |slot: &Padded| &slot.0);
        "one shared word, lock xadd twice", locked(1, |slot: &Padded| &slot.0);
        // Eight of them on a cache line.
        "own slots, not padded, lock xadd twice", locked(SLOTS, |word: &AtomicU64| word);
    });
    all
}

/// A counter on cache lines of its own, as [`rundown::Slot`].
#[repr(align(128))]
#[derive(Default)]
struct Padded(AtomicU64);

/// More threads than these share slots.
const SLOTS: usize = 256;

fn slots<T: Default>(count: usize) -> Box<[T]> {
    (0..count).map(|_| T::default()).collect()
}

fn unlocked() -> Object {
    let flag = AtomicU64::new(0);
    Box::new(move |watch| {
        let (flag, word) = (&flag, OwnWord::here(0));
        watch.pairs(move || {
            assert!(flag.load(Ordering::Relaxed) == 0, "nothing closes it");
            word.inc();
            word.dec();
        });
    })
}

fn locked<T: Default + Send + Sync + 'static>(count: usize, word: fn(&T) -> &AtomicU64) -> Object {
    let slots = slots::<T>(count);
    Box::new(move |watch| {
        let slot = word(&slots[bench::cpu() % slots.len()]);
        watch.pairs(|| {
            lock_xadd(slot, 1);
            lock_xadd(slot, u64::MAX);
        });
    })
}

/// The instruction that `fetch_add` is when its result is used.
#[inline]
fn lock_xadd(word: &AtomicU64, add: u64) -> u64 {
    let (word, mut value) = (word.as_ptr(), add);
    // SAFETY: an atomic read-modify-write of a word that is borrowed and atomic.
    unsafe { asm!("lock xadd [{}], {}", in(reg) word, inout(reg) value, options(nostack)) };
    value
}

/// The least that any close of a slot per CPU must do: one locked instruction on each.
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

/// Windows' cache-aware rundown protection: the lowest bit of a slot says closed, the rest counts
/// by twos; the running CPU's number is looked up each time.
fn windows() -> Object {
    let slots = slots::<Padded>(SLOTS);
    Box::new(move |watch| {
        watch.pairs(|| {
            for by in [2, 2_u64.wrapping_neg()] {
                let slot = &slots[bench::cpu() % SLOTS].0;
                let changed = slot.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |seen| {
                    (seen & 1 == 0).then_some(seen.wrapping_add(by))
                });
                changed.expect("nothing closes it");
            }
        });
    })
}

/// Get and put of `percpu_ref`, as far as they make sense in user space: each is an RCU read
/// section (the nesting counter that a preemptible Linux kernel keeps for the running task; where
/// it is not preemptible, this costs nothing), a test of the flags, and a plain addition to the
/// running CPU's counter. The threads are pinned, so the task's nesting is kept as the counter is,
/// per CPU. What waits for the sections to end (the grace period) is left out: it costs users
/// nothing.
fn percpu_ref() -> Object {
    let place_and_flags = AtomicU64::new(0);
    Box::new(move |watch| {
        let (nesting, counter) = (OwnWord::here(0), OwnWord::here(1));
        let place_and_flags = &place_and_flags;
        let is_percpu = move || place_and_flags.load(Ordering::Relaxed) & 3 == 0;
        watch.pairs(move || {
            nesting.inc();
            assert!(is_percpu(), "nothing kills it");
            counter.inc();
            nesting.dec();
            nesting.inc();
            assert!(is_percpu(), "nothing kills it");
            counter.dec();
            nesting.dec();
        });
    })
}

/// C++26's `counting_scope` ([exec.counting.scopes]): state and count share one word.
/// `try_associate` and the end of the association.
fn counting_scope() -> Object {
    /// The scope is closed: it refuses. The count stands above.
    const CLOSED: u64 = 1;
    /// Something joins the scope: it waits for the count to reach zero.
    const JOINING: u64 = 2;
    const ONE: u64 = 4;
    let scope = AtomicU64::new(0);
    Box::new(move |watch| {
        watch.pairs(|| {
            // The count must not rise in a closed scope, so it is a compare-exchange loop.
            let joined = scope.fetch_update(Ordering::Acquire, Ordering::Relaxed, |seen| {
                (seen & CLOSED == 0).then_some(seen + ONE)
            });
            joined.expect("nothing closes it");
            let before = scope.fetch_sub(ONE, Ordering::AcqRel);
            // The joiner would be resumed here.
            assert_ne!(before, ONE | CLOSED | JOINING, "it is never joined");
        });
    })
}
