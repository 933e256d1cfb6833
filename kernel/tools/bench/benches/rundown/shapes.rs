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
