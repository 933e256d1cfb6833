//! The barrier: every CPU calls it, from every context, with others asleep or deaf; what it orders and
//! what it costs.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, compiler_fence};

use kernel::barrier::{self, Silent};
use kernel::cpu::CpuIndex;
use kernel::{Machine, clock, cpu, interrupts, ipi, smp, timer};
use protocol::exit::ExitCode;
use test_kernels::{Barrier, PerCpu};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[
            ("sleeping_cpus_answer_once_each", |_| {
                sleeping_cpus_answer_once_each();
            }),
            ("all_cpus_call_at_once", |_| {
                all_cpus_call_at_once(barrier::all);
            }),
            ("all_cpus_call_at_once_uninterrupted", |_| {
                all_cpus_call_at_once(|| interrupts::without(barrier::all));
            }),
            ("handlers_call_on_top_of_callers", |_| {
                handlers_call_on_top_of_callers();
            }),
            ("a_caller_and_a_cpu_that_calls_it", |_| {
                a_caller_and_a_cpu_that_calls_it();
            }),
            ("callers_with_interrupts_off_answer_each_other", |_| {
                both_with_interrupts_off(barrier::all, barrier::all);
            }),
            ("who_waits_for_a_call_answers_the_barrier", |_| {
                both_with_interrupts_off(|| ipi::call(CpuIndex::new(1), &|| {}), barrier::all);
            }),
            ("callers_share_what_is_on_its_way", |_| {
                callers_share_what_is_on_its_way();
            }),
            ("a_cpu_with_interrupts_off_gets_an_nmi", |_| {
                a_cpu_with_interrupts_off_gets_an_nmi();
            }),
            ("a_silent_cpu_is_named", |_| a_silent_cpu_is_named()),
            ("all_waits_for_a_silent_cpu", |_| {
                all_waits_for_a_silent_cpu();
            }),
            ("it_stands_in_for_a_fence", |_| it_stands_in_for_a_fence()),
        ],
    )
}

const SECOND: u64 = 1_000_000_000;

/// Calls `work` so often, or for half a second: under TCG many CPUs that spin share few host CPUs. At
/// least twice. Returns how often.
fn again_and_again(most: u64, mut work: impl FnMut(u64)) -> u64 {
    let end = clock::nanos() + SECOND / 2;
    for round in 1..=most {
        work(round);
        if round >= 2 && clock::nanos() >= end {
            return round;
        }
    }
    most
}

fn last() -> CpuIndex {
    cpu::online().last().expect("this CPU is online")
}

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// The others halt in their idle loops. One caller, so the cost is exact: an interrupt for each.
fn sleeping_cpus_answer_once_each() {
    const CALLS: u64 = 20;
    let before = barrier::statistics();
    for _ in 0..CALLS {
        barrier::all();
    }
    let after = barrier::statistics();
    let others = cpu::count() as u64 - 1;
    assert_eq!(after.calls - before.calls, CALLS);
    assert_eq!(
        after.rounds - before.rounds,
        if others > 0 { CALLS } else { 0 }
    );
    assert_eq!(after.interrupts - before.interrupts, CALLS * others);
}

fn all_cpus_call_at_once(call: impl Fn() + Sync) {
    let start = Barrier::for_all();
    let calls = AtomicU64::new(0);
    let before = barrier::statistics();
    smp::run_on_each(&|_| {
        start.wait();
        let rounds = again_and_again(5000, |_| call());
        calls.fetch_add(rounds, Ordering::Relaxed);
    });
    let calls = calls.into_inner();
    let after = barrier::statistics();
    assert_eq!(after.calls - before.calls, calls);
    // No more than one for each other CPU, were nothing shared.
    let most = calls * (cpu::count() as u64 - 1);
    assert!(after.interrupts - before.interrupts <= most);
}

/// Every CPU calls in its thread, and in ticks that interrupt this thread anywhere.
fn handlers_call_on_top_of_callers() {
    let in_ticks: &PerCpu<AtomicUsize> = leaked(PerCpu::new(|| AtomicUsize::new(0)));
    let goal = (200 / cpu::count()).max(2);
    test_kernels::set_on_tick(leaked(move || {
        assert!(interrupts::in_handler());
        let calls = &in_ticks[cpu::current()];
        // No more than that: calls that take longer than a tick would leave no time to the thread.
        if calls.load(Ordering::Relaxed) < goal {
            barrier::all();
            calls.fetch_add(1, Ordering::Relaxed);
        }
    }));
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        while in_ticks[me].load(Ordering::Relaxed) < goal {
            barrier::all();
        }
        timer::stop();
    });
}

/// One with interrupts off waits for the other to run a function, which waits for the first at a
/// barrier, with interrupts off, too. Each must serve the other.
fn a_caller_and_a_cpu_that_calls_it() {
    if cpu::count() == 1 {
        return;
    }
    let ran = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let step = Barrier::new(2);
    let before = barrier::statistics();
    smp::run_on_each(&|me| match me.get() {
        0 => {
            let rounds = again_and_again(200, |_| {
                step.wait();
                interrupts::without(|| {
                    ipi::call(CpuIndex::new(1), &|| {
                        ran.fetch_add(1, Ordering::Relaxed);
                    });
                });
            });
            over.store(true, Ordering::Relaxed);
            step.wait();
            assert_eq!(ran.load(Ordering::Relaxed), rounds);
            // One of them may have been kept from running for so long.
            let nmis = barrier::statistics().nmis - before.nmis;
            assert!(rounds < 10 || nmis <= rounds / 2, "saved by {nmis} NMIs");
        }
        1 => loop {
            step.wait();
            if over.load(Ordering::Relaxed) {
                break;
            }
            interrupts::without(barrier::all);
        },
        _ => {}
    });
}

/// Two CPUs turn interrupts off, and only when both have done so, each begins to wait for the other.
/// Without serving each other they would need an NMI every time.
fn both_with_interrupts_off(first: impl Fn() + Sync, second: impl Fn() + Sync) {
    const ROUNDS: u64 = 5;
    if cpu::count() == 1 {
        return;
    }
    let before = barrier::statistics();
    let arrived = AtomicU64::new(0);
    smp::run_on_each(&|me| {
        if me.get() > 1 {
            return;
        }
        for round in 1..=ROUNDS {
            interrupts::without(|| {
                arrived.fetch_add(1, Ordering::AcqRel);
                while arrived.load(Ordering::Acquire) < 2 * round {
                    core::hint::spin_loop();
                }
                if me == CpuIndex::BSP {
                    first();
                } else {
                    second();
                }
            });
        }
    });
    // One of many virtual CPUs may be kept from running until it is sent an NMI.
    let nmis = barrier::statistics().nmis - before.nmis;
    assert!(cpu::count() > 4 || nmis < ROUNDS, "saved by {nmis} NMIs");
}

/// Runs `work` on all CPUs but the last, while that one has interrupts off, and looks at nothing but what
/// `deaf` looks at.
fn with_a_deaf_cpu(work: impl Fn(CpuIndex) + Sync, deaf: impl Fn() + Sync) {
    let is_deaf = AtomicBool::new(false);
    let deaf_cpu = last();
    smp::run_on_each(&|me| {
        if me == deaf_cpu {
            interrupts::without(|| {
                is_deaf.store(true, Ordering::Release);
                deaf();
            });
        } else {
            while !is_deaf.load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
            work(me);
        }
    });
}

/// The last CPU has interrupts off until all others have called: it gets one interrupt for all.
fn callers_share_what_is_on_its_way() {
    if cpu::count() == 1 {
        return;
    }
    let before = barrier::statistics();
    let callers = cpu::count() as u64 - 1;
    with_a_deaf_cpu(
        |_| barrier::all(),
        || {
            while barrier::statistics().calls - before.calls < callers {
                core::hint::spin_loop();
            }
        },
    );
    let after = barrier::statistics();
    assert_eq!(after.calls - before.calls, callers);
    let (interrupts, most) = (
        after.interrupts - before.interrupts,
        1 + callers * (callers - 1),
    );
    assert!(
        (1..=most).contains(&interrupts),
        "{interrupts} interrupts for {callers} callers, {most} at most"
    );
}

/// The handler for others' NMIs must not hear of it.
fn a_cpu_with_interrupts_off_gets_an_nmi() {
    if cpu::count() == 1 {
        return;
    }
    ipi::set_nmi_handler(Some(|| panic!("an NMI that is the barrier's alone")));
    let passed = AtomicBool::new(false);
    let before = barrier::statistics();
    let start = clock::nanos();
    with_a_deaf_cpu(
        |me| {
            if me == CpuIndex::BSP {
                barrier::all();
                passed.store(true, Ordering::Release);
            }
        },
        || {
            while !passed.load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
        },
    );
    assert!(barrier::statistics().nmis > before.nmis);
    assert!(clock::nanos() - start >= SECOND / 10, "impatient");
    // It was in time for this barrier, and does no harm to the next ones.
    barrier::all();
    ipi::set_nmi_handler(None);
}

/// For the NMI handler below, which can be told only by statics.
static IN_NMI: AtomicUsize = AtomicUsize::new(0);
static MAY_LEAVE_NMI: AtomicBool = AtomicBool::new(false);
/// When to leave it, on the kernel's clock.
static LEAVE_NMI_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Has the last CPU stay in an NMI handler, in which it takes neither interrupts nor NMIs. It leaves it
/// when told, or at a time.
fn silence_the_last_cpu(until: u64) {
    IN_NMI.store(0, Ordering::Relaxed);
    MAY_LEAVE_NMI.store(false, Ordering::Relaxed);
    LEAVE_NMI_AT.store(until, Ordering::Relaxed);
    ipi::set_nmi_handler(Some(|| {
        IN_NMI.fetch_add(1, Ordering::Release);
        while !MAY_LEAVE_NMI.load(Ordering::Acquire)
            && clock::nanos() < LEAVE_NMI_AT.load(Ordering::Relaxed)
        {
            core::hint::spin_loop();
        }
    }));
    ipi::nmi(last());
    while IN_NMI.load(Ordering::Acquire) == 0 {
        core::hint::spin_loop();
    }
}

/// The handler has run once: the barrier's own NMIs, which came meanwhile, were not for it.
fn last_cpu_is_back() {
    MAY_LEAVE_NMI.store(true, Ordering::Release);
    // It answers in thread context.
    ipi::call(last(), &|| {});
    barrier::all();
    assert_eq!(IN_NMI.load(Ordering::Relaxed), 1);
    ipi::set_nmi_handler(None);
}

fn a_silent_cpu_is_named() {
    if cpu::count() == 1 {
        return;
    }
    silence_the_last_cpu(u64::MAX);
    // Before the barrier's NMI and after it. If another CPU is slow, that one is named, rightly.
    for patience in [SECOND / 50, SECOND / 2] {
        let start = clock::nanos();
        let mut named = barrier::until(start + patience);
        assert!(named.is_err(), "passed without the last CPU");
        assert!(clock::nanos() >= start + patience, "gave up too early");
        while named != Err(Silent { cpu: last() }) {
            named = barrier::until(clock::nanos() + patience);
        }
    }
    MAY_LEAVE_NMI.store(true, Ordering::Release);
    // Without a deadline to speak of.
    assert_eq!(barrier::until(clock::nanos() + 3600 * SECOND), Ok(()));
    last_cpu_is_back();
}

/// The log tells of it: the host looks there.
fn all_waits_for_a_silent_cpu() {
    if cpu::count() == 1 {
        return;
    }
    let before = barrier::statistics();
    let leaves_at = clock::nanos() + SECOND * 3 / 2;
    silence_the_last_cpu(leaves_at);
    barrier::all();
    assert!(clock::nanos() >= leaves_at, "passed without the last CPU");
    // While one is on its way there is no other one. More CPUs may have been slow, too.
    let nmis = barrier::statistics().nmis - before.nmis;
    assert!(cpu::count() > 2 || nmis == 1, "{nmis} NMIs for one CPU");
    last_cpu_is_back();
}

/// Two CPUs each write a word of their own and then read the other's. With a fence between the write and
/// the read on both sides, at least one sees what the other has written. Here one side has none, and the
/// other one has the barrier.
fn it_stands_in_for_a_fence() {
    if cpu::count() == 1 {
        return;
    }
    const OVER: u64 = u64::MAX;
    let [turn, done, left, right, seen] = [const { AtomicU64::new(0) }; 5];
    smp::run_on_each(&|me| match me.get() {
        0 => {
            again_and_again(10_000, |round| {
                turn.store(round, Ordering::Release);
                left.store(round, Ordering::Relaxed);
                barrier::all();
                let right = right.load(Ordering::Relaxed);
                while done.load(Ordering::Acquire) < round {
                    core::hint::spin_loop();
                }
                let left = seen.load(Ordering::Relaxed);
                assert!(
                    left == round || right == round,
                    "neither CPU saw what the other wrote in round {round}"
                );
            });
            turn.store(OVER, Ordering::Relaxed);
        }
        1 => {
            for round in 1.. {
                while turn.load(Ordering::Acquire) < round {
                    core::hint::spin_loop();
                }
                if turn.load(Ordering::Relaxed) == OVER {
                    break;
                }
                right.store(round, Ordering::Relaxed);
                compiler_fence(Ordering::SeqCst);
                seen.store(left.load(Ordering::Relaxed), Ordering::Relaxed);
                done.store(round, Ordering::Release);
            }
        }
        _ => {}
    });
}
