//! Users that do something while they hold protection: 25 ns of arithmetic.
//!
//! A pair with nothing in between is the worst that may happen to a shared word, and hides what a
//! locked instruction costs its neighbours.
//!
//! `unsafe` here: assembly without an instruction.

use std::arch::asm;
use std::sync::{Arc, OnceLock, RwLock};

use bench::teardown::time;
use bench::{Contender, Group, Object, Pinned, names};
use rundown::{
    CacheAwareRundown, HostPlatform, PerCpuRundown, PlainRundown, Protected, Rundown, Slot, Variant,
};

/// How long, in nanoseconds.
const WORK: f64 = 25.0;

pub(crate) fn contenders() -> Vec<Contender> {
    let row = |name, group, object| Contender {
        name,
        group,
        memory: None,
        object,
    };
    let mut all = vec![
        row(
            names::PLAIN,
            Group::Ours,
            (|| protects(PlainRundown::<Pinned>::new())) as fn() -> Object,
        ),
        row(names::CACHE_AWARE, Group::Ours, || {
            protects(CacheAwareRundown::<Pinned, [Slot; 64]>::new())
        }),
    ];
    if HostPlatform::per_cpu().is_ok() {
        all.push(row(names::PER_CPU_LINUX, Group::Ours, || {
            protects(PerCpuRundown::<HostPlatform>::new().expect("few are in use"))
        }));
    }
    all.extend([
        row(names::ARC, Group::Peer, arc),
        row(names::CROSSBEAM, Group::Peer, crossbeam),
        row("std RwLock, read", Group::Peer, lock),
        row("the work alone", Group::Limit, alone),
    ]);
    all
}

fn protects<V: Variant + 'static>(rundown: Rundown<V>) -> Object {
    let object = Box::new(Protected::new(rundown, 1_u64));
    let turns = turns();
    Box::new(move |watch| {
        let mut product = 1;
        watch.pairs(|| {
            let guard = object.try_acquire().expect("open");
            work(turns, &mut product, *guard);
        });
    })
}

fn arc() -> Object {
    let (value, turns) = (Arc::new(1_u64), turns());
    Box::new(move |watch| {
        let mut product = 1;
        watch.pairs(|| {
            let held = Arc::clone(&value);
            work(turns, &mut product, *held);
        });
    })
}

fn crossbeam() -> Object {
    let (value, turns) = (1, turns());
    Box::new(move |watch| {
        let mut product = 1;
        watch.pairs(|| {
            let _guard = crossbeam_epoch::pin();
            work(turns, &mut product, value);
        });
    })
}

fn lock() -> Object {
    let (value, turns) = (RwLock::new(1_u64), turns());
    Box::new(move |watch| {
        let mut product = 1;
        watch.pairs(|| {
            let held = value.read().expect("nobody panics");
            work(turns, &mut product, *held);
        });
    })
}

fn alone() -> Object {
    let turns = turns();
    Box::new(move |watch| {
        let mut product = 1;
        watch.pairs(|| work(turns, &mut product, 1));
    })
}

/// Multiplications, each of which waits for the one before, those of the last use included. They touch
/// no memory.
#[inline]
fn work(turns: u32, product: &mut u64, value: u64) {
    let mut factor = *product ^ value;
    for _ in 0..turns {
        factor = factor.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // SAFETY: no instruction at all; the product is not known beforehand.
        unsafe {
            asm!("/* {} */", inout(reg) factor, options(nomem, nostack, preserves_flags));
        }
    }
    *product = factor;
}

/// How many of them take [`WORK`].
fn turns() -> u32 {
    static TURNS: OnceLock<u32> = OnceLock::new();
    *TURNS.get_or_init(|| {
        // Short enough that some of them are not interrupted.
        const SOME: u32 = 10_000;
        let mut product = 1;
        let ns = (0..1_000)
            .map(|_| time(|| work(SOME, &mut product, 1)))
            .fold(f64::MAX, f64::min);
        (WORK * f64::from(SOME) / ns).round() as u32
    })
}
