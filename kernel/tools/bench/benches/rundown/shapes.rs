//! The fast paths of other kernels, rebuilt from what their documentation says, so that designs are
//! compared and not implementations. Only acquire and release; nobody closes these.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::{Contender, Group, Memory, Object, OwnWord, names};

use crate::limits::{Padded, SLOTS, slots};

pub(crate) fn contenders() -> Vec<Contender> {
    let shape = |name, memory, object| Contender {
        name,
        group: Group::Shape,
        memory: Some(memory),
        object,
    };
    vec![
        shape(
            names::WINDOWS,
            Memory::per_cpu::<Box<[Padded]>, Padded>(),
            windows as fn() -> Object,
        ),
        shape(
            "percpu_ref's shape: RCU nesting, plain inc",
            Memory::per_cpu::<PercpuRef, u64>(),
            percpu_ref,
        ),
        shape(
            "C++26 counting_scope's shape: one word",
            Memory::of::<CountingScope>(),
            counting_scope,
        ),
    ]
}

/// Windows' cache-aware rundown protection: the lowest bit of a slot says closed, the rest counts by
/// twos; the running CPU's number is looked up each time.
fn windows() -> Object {
    let slots = slots::<Padded>(SLOTS);
    Box::new(move |watch| {
        watch.pairs(|| {
            change_unless_closed(&slots[bench::cpu() % SLOTS].0, 2);
            change_unless_closed(&slots[bench::cpu() % SLOTS].0, 2_u64.wrapping_neg());
        });
    })
}

#[inline]
fn change_unless_closed(slot: &AtomicU64, by: u64) {
    let mut seen = slot.load(Ordering::Relaxed);
    loop {
        assert_eq!(seen & 1, 0, "nobody closes it");
        let next = seen.wrapping_add(by);
        match slot.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
        spin_loop();
    }
}

/// Linux' `percpu_ref`: a word that holds the counters' place and two flags, and a count for when it
/// is killed.
struct PercpuRef {
    place_and_flags: AtomicU64,
    _after_kill: AtomicU64,
}

/// Get and put of `percpu_ref`, as far as they make sense in user space: each is an RCU read section
/// (the nesting counter that a preemptible Linux kernel keeps for the running task; where it is not
/// preemptible, this costs nothing), a test of the flags, and a plain addition to the running CPU's
/// counter. The threads are pinned, so the task's nesting is kept as the counter is, per CPU. What
/// waits for the sections to end (the grace period) is left out: it costs users nothing.
fn percpu_ref() -> Object {
    let object = PercpuRef {
        place_and_flags: AtomicU64::new(0),
        _after_kill: AtomicU64::new(0),
    };
    let (nesting, counter) = (OwnWord::new(), OwnWord::new());
    Box::new(move |watch| {
        let (nesting, counter) = (nesting.here(), counter.here());
        let object = &object;
        let is_percpu = move || object.place_and_flags.load(Ordering::Relaxed) & 3 == 0;
        watch.pairs(move || {
            nesting.inc();
            assert!(is_percpu(), "nobody kills it");
            counter.inc();
            nesting.dec();

            nesting.inc();
            assert!(is_percpu(), "nobody kills it");
            counter.dec();
            nesting.dec();
        });
    })
}

/// C++26's `counting_scope` ([exec.counting.scopes]): state and count share one word.
#[derive(Default)]
struct CountingScope(AtomicU64);

/// The scope is closed: it refuses. The count stands above.
const CLOSED: u64 = 1;
/// Something joins the scope: it waits for the count to reach zero.
const JOINING: u64 = 2;
const ONE: u64 = 4;

impl CountingScope {
    /// `try_associate`. The count must not rise in a closed scope, so it is a compare-exchange loop.
    #[inline]
    fn try_associate(&self) -> Option<Association<'_>> {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & CLOSED == 0 {
            let result = self.0.compare_exchange_weak(
                seen,
                seen + ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match result {
                Ok(_) => return Some(Association(self)),
                Err(now) => seen = now,
            }
        }
        None
    }
}

/// `scope_association`: RAII. Its copy constructor is another `try_associate`, and costs as much.
struct Association<'a>(&'a CountingScope);

impl Drop for Association<'_> {
    #[inline]
    fn drop(&mut self) {
        let before = self.0.0.fetch_sub(ONE, Ordering::AcqRel);
        // The joiner would be resumed here.
        assert_ne!(before, ONE | CLOSED | JOINING, "it is never joined");
    }
}

fn counting_scope() -> Object {
    let scope = CountingScope::default();
    Box::new(move |watch| {
        watch.pairs(|| drop(scope.try_associate().expect("open")));
    })
}
