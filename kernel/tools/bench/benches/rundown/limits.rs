//! The bare instructions: no design that uses them can be faster. And the fast paths of other
//! kernels, rebuilt from what their documentation says, so that designs are compared and not
//! implementations: only acquire and release; nothing closes these. x86-64 only.
//!
//! `unsafe` here: inline assembly.

use std::arch::asm;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::{
    Closable, Contender, LOCKED, MakeClosable, MakeObject, OwnWord, UNLOCKED, WINDOWS, shared, time,
};

use crate::contenders::contenders;

pub(crate) fn contenders() -> Vec<Contender<MakeObject>> {
    contenders! {
        Shape: {
            WINDOWS => windows();
            "percpu_ref's shape: RCU nesting, plain inc" => percpu_ref();
            "C++26 counting_scope's shape: one word" => counting_scope();
        }
        Limit: {
            UNLOCKED => unlocked();
            LOCKED => locked(SLOTS, |slot: &Padded| &slot.0);
            "one shared word, lock xadd twice" => locked(1, |slot: &Padded| &slot.0);
            // Eight of them on a cache line.
            "own slots, not padded, lock xadd twice" => locked(SLOTS, |word: &AtomicU64| word);
        }
    }
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

fn unlocked() -> MakeObject {
    shared(AtomicU64::default, |flag, watch| {
        let word = OwnWord::here(0);
        watch.pairs(move || {
            assert!(flag.load(Ordering::Relaxed) == 0, "nothing closes it");
            word.inc();
            word.dec();
        })
    })
}

fn locked<T: Default + Send + Sync + 'static>(
    count: usize,
    word: fn(&T) -> &AtomicU64,
) -> MakeObject {
    let slots = move || slots::<T>(count);
    shared(slots, move |slots, watch| {
        let slot = word(&slots[bench::cpu() % slots.len()]);
        watch.pairs(|| {
            lock_xadd(slot, 1);
            lock_xadd(slot, u64::MAX);
        })
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
struct Sweep(Box<[Padded]>);

pub(crate) fn sweep() -> MakeClosable {
    Box::new(|_, count| Box::new(Sweep(slots(count))))
}

impl Closable for Sweep {
    fn tear_down(&self, _: bool) -> f64 {
        let ns = time(|| {
            let sum = self.0.iter().map(|slot| lock_xadd(&slot.0, 1 << 63));
            assert_eq!(sum.fold(0, u64::wrapping_add), 0, "nothing is held");
        });
        self.0.iter().for_each(|slot| slot.0.store(0, Ordering::Relaxed));
        ns
    }
}

/// Windows' cache-aware rundown protection: the lowest bit of a slot says closed, the rest counts
/// by twos; the running CPU's number is looked up each time.
fn windows() -> MakeObject {
    let slots = || slots::<Padded>(SLOTS);
    shared(slots, |slots, watch| {
        watch.pairs(|| {
            for by in [2, 2_u64.wrapping_neg()] {
                let slot = &slots[bench::cpu() % SLOTS].0;
                let changed = slot.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |seen| {
                    (seen & 1 == 0).then_some(seen.wrapping_add(by))
                });
                changed.expect("nothing closes it");
            }
        })
    })
}

/// Get and put of `percpu_ref`, as far as they make sense in user space: each is an RCU read
/// section (the nesting counter that a preemptible Linux kernel keeps for the running task; where
/// it is not preemptible, this costs nothing), a test of the flags, and a plain addition to the
/// running CPU's counter. The threads are pinned, so the task's nesting is kept as the counter is,
/// per CPU. What waits for the sections to end (the grace period) is left out: it costs users
/// nothing.
fn percpu_ref() -> MakeObject {
    shared(AtomicU64::default, |place_and_flags, watch| {
        let (nesting, counter) = (OwnWord::here(0), OwnWord::here(1));
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
        })
    })
}

/// C++26's `counting_scope` ([exec.counting.scopes]): state and count share one word.
/// `try_associate` and the end of the association.
fn counting_scope() -> MakeObject {
    /// The scope is closed: it refuses. The count stands above.
    const CLOSED: u64 = 1;
    /// Something joins the scope: it waits for the count to reach zero.
    const JOINING: u64 = 2;
    const ONE: u64 = 4;
    shared(AtomicU64::default, |scope, watch| {
        watch.pairs(|| {
            // The count must not rise in a closed scope, so it is a compare-exchange loop.
            let joined = scope.fetch_update(Ordering::Acquire, Ordering::Relaxed, |seen| {
                (seen & CLOSED == 0).then_some(seen + ONE)
            });
            joined.expect("nothing closes it");
            let before = scope.fetch_sub(ONE, Ordering::AcqRel);
            // The joiner would be resumed here.
            assert_ne!(before, ONE | CLOSED | JOINING, "it is never joined");
        })
    })
}
