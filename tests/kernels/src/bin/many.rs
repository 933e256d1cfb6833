//! Many protections taken at once on one CPU, released in other portions on others (S7).
#![no_std]
#![no_main]

extern crate alloc;

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, smp};
use protocol::exit::ExitCode;
use rundown::{PlainRundown, Refused, Rundown, State, Variant, WaitOutcome};
use spin::Mutex;
use test_kernels::{Barrier, PerCpu, plain};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            taken_at_once_released_one_by_one_elsewhere,
            taken_one_by_one_elsewhere_released_at_once,
            guards_are_split_and_merged_across_cpus,
            portions_race_with_the_close;
            (
                "the_capacity_holds_for_all_cpus_together",
                the_capacity_holds_for_all_cpus_together
            ),
        ],
    )
}

/// How many each CPU releases or takes.
const EACH: u32 = 50;

fn total() -> u32 {
    EACH * cpu::count() as u32
}

fn taken_at_once_released_one_by_one_elsewhere<V: Variant>(new: fn() -> Rundown<V>) {
    let rundown = new();
    rundown
        .acquire_many(total())
        .expect("refused although open");
    assert_eq!(rundown.racy_held(), i64::from(total()));
    let out = AtomicU32::new(total());
    let closed = Barrier::for_all();
    smp::run_on_each(&|me| {
        // Half of them before the close, half of them after it.
        for turn in 0..EACH {
            if turn == EACH / 2 {
                closed.wait();
                if me.get() == 0 {
                    rundown.close();
                }
                closed.wait();
            }
            assert!(!rundown.is_drained(), "drained while one is held");
            out.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: one of those taken above; all CPUs together release so many.
            unsafe { rundown.release() };
        }
        if me.get() == 0 {
            assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
            assert_eq!(out.load(Ordering::Relaxed), 0, "the wait ended early");
        }
    });
    assert_eq!(rundown.racy_held(), 0);
}

fn taken_one_by_one_elsewhere_released_at_once<V: Variant>(new: fn() -> Rundown<V>) {
    let rundown = new();
    smp::run_on_each(&|_| {
        for _ in 0..EACH {
            rundown.acquire().expect("refused although open");
        }
    });
    rundown.close();
    assert_eq!(rundown.acquire_many(0), Err(Refused::Closed));
    // SAFETY: all but one of those taken above.
    unsafe { rundown.release_many(total() - 1) };
    assert_eq!(rundown.try_wait().map_err(|missed| missed.held), Err(1));
    // SAFETY: the last one.
    unsafe { rundown.release_many(1) };
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
}

/// The BSP deals out guards; each CPU keeps some, passes some on, and the next one merges them.
fn guards_are_split_and_merged_across_cpus<V: Variant>(new: fn() -> Rundown<V>) {
    let rundown = new();
    let mut all = rundown
        .try_acquire_many(total())
        .expect("refused although open");
    let hands = PerCpu::new(|| Mutex::new(None));
    for cpu in cpu::online() {
        *hands[cpu].lock() = Some(all.split_off(EACH));
    }
    assert_eq!(all.count(), 0);
    drop(all);
    rundown.close();
    let dealt = Barrier::for_all();
    let out = AtomicU32::new(total());
    smp::run_on_each(&|me| {
        let mut mine = hands[me].lock().take().expect("dealt");
        let passed_on = mine.split_off(EACH / 5);
        dealt.wait();
        *hands[test_kernels::next(me)].lock() = Some(passed_on);
        dealt.wait();
        let got = hands[me].lock().take().expect("passed on");
        assert!(mine.merge(got).is_ok(), "of the same object");
        assert_eq!(mine.count(), EACH);
        while let Some(one) = mine.take_one() {
            assert_eq!(rundown.state(), State::Draining);
            out.fetch_sub(1, Ordering::Relaxed);
            drop(one);
        }
    });
    assert_eq!(out.into_inner(), 0);
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
}

/// Every CPU takes and releases portions of all sizes until it is refused, while the BSP closes: what
/// was granted was granted in full, and the wait sees the end of all of it.
fn portions_race_with_the_close<V: Variant>(new: fn() -> Rundown<V>) {
    for _ in 0..10 {
        let rundown = new();
        let in_use = AtomicUsize::new(0);
        let start = Barrier::for_all();
        smp::run_on_each(&|me| {
            start.wait();
            for portion in 1.. {
                let Some(mut guards) = rundown.try_acquire_many(portion) else {
                    break;
                };
                in_use.fetch_add(portion as usize, Ordering::Relaxed);
                assert!(!rundown.is_drained(), "drained while in use");
                let half = guards.split_off(portion / 2);
                in_use.fetch_sub(half.count() as usize, Ordering::Relaxed);
                drop(half);
                in_use.fetch_sub(guards.count() as usize, Ordering::Relaxed);
                drop(guards);
                if me.get() == 0 && portion == 20 {
                    rundown.close();
                }
            }
            assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
            assert_eq!(in_use.load(Ordering::Relaxed), 0, "the wait ended early");
        });
    }
}

/// The plain variant counts up to its capacity, over all CPUs, and refuses what would pass it.
fn the_capacity_holds_for_all_cpus_together(_: &'static Machine) {
    let rundown = plain();
    let capacity = u32::try_from(PlainRundown::<KernelPlatform>::CAPACITY).expect("28 bits");
    rundown
        .acquire_many(capacity - total())
        .expect("refused although open");
    let start = Barrier::for_all();
    smp::run_on_each(&|_| {
        assert_eq!(rundown.acquire_many(capacity), Err(Refused::Full));
        start.wait();
        for _ in 0..EACH {
            rundown.acquire().expect("refused although not full");
        }
        start.wait();
        assert_eq!(rundown.acquire(), Err(Refused::Full));
        start.wait();
    });
    assert_eq!(rundown.racy_held(), i64::from(capacity));
    // SAFETY: so many were granted.
    unsafe { rundown.release_many(capacity) };
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
}
