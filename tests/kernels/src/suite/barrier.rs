//! The barrier: every CPU calls it, from every context, with others asleep or with interrupts off;
//! its ordering and its cost.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, compiler_fence};

use kernel::barrier;
use kernel::cpu::CpuIndex;
use kernel::platform::Halt;
use kernel::testing::Test;
use kernel::{clock, cpu, interrupts, ipi, smp, timer};
use test_kernels::{Barrier, EachCpu, leaked, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            sleeping_cpus_answer_once_each,
            all_cpus_call_in_threads_and_handlers,
            callers_share_what_is_on_its_way,
            a_cpu_with_interrupts_off_gets_an_nmi,
            all_waits_for_a_silent_cpu,
            it_stands_in_for_a_fence,
        }
        named {
            "callers_with_interrupts_off_answer_each_other" => |_| both_with_interrupts_off(barrier::all, barrier::all),
            "a_caller_that_waits_answers_the_barrier" => |_| {
                both_with_interrupts_off(|| ipi::call(CpuIndex::new(1), &|| {}), barrier::all);
            },
        }
    }
}

const SECOND: u64 = 1_000_000_000;

/// Calls `work` so often, or for a fifth of a second: under TCG many CPUs that spin share few host
/// CPUs. At least twice. Returns how often.
fn again_and_again(most: u64, mut work: impl FnMut(u64)) -> u64 {
    let end = clock::nanos() + SECOND / 5;
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
    assert_eq!(after.rounds - before.rounds, if others > 0 { CALLS } else { 0 });
    assert_eq!(after.interrupts - before.interrupts, CALLS * others);
}

/// Every CPU calls in its thread, with interrupts on and off, and in ticks that interrupt this
/// thread anywhere.
fn all_cpus_call_in_threads_and_handlers() {
    let in_ticks: &EachCpu<AtomicU64> = leaked(EachCpu::new(|| AtomicU64::new(0)));
    let most = (200 / cpu::count() as u64).max(2);
    test_kernels::set_on_tick(leaked(move || {
        assert!(interrupts::in_handler());
        let calls = &in_ticks[cpu::current()];
        // No more than that: calls that take longer than a tick would leave no time to the thread.
        if calls.load(Ordering::Relaxed) < most {
            barrier::all();
            calls.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let start = Barrier::for_all();
    let in_threads = AtomicU64::new(0);
    let before = barrier::statistics();
    smp::run_on_each(&|me| {
        start.wait();
        test_kernels::start_ticking();
        let rounds = again_and_again(5000, |_| barrier::all())
            + again_and_again(5000, |_| interrupts::without(barrier::all));
        in_threads.fetch_add(rounds, Ordering::Relaxed);
        Halt.until(&mut || in_ticks[me].load(Ordering::Relaxed) == most);
        timer::stop();
    });
    let calls = in_threads.into_inner() + most * cpu::count() as u64;
    let after = barrier::statistics();
    assert_eq!(after.calls - before.calls, calls);
    // No more than one for each other CPU, were nothing shared.
    let interrupts = calls * (cpu::count() as u64 - 1);
    assert!(after.interrupts - before.interrupts <= interrupts);
}

/// Two CPUs turn interrupts off, and only when both have done so, each begins to wait for the
/// other. Without serving each other they would need an NMI in every round; a CPU that its host
/// keeps from running needs one now and then. So it goes on until a round has had none. (Of many
/// CPUs one may be slow in every round.)
fn both_with_interrupts_off(first: impl Fn() + Sync, second: impl Fn() + Sync) {
    const ROUNDS: u64 = 5;
    if cpu::count() == 1 {
        return;
    }
    let nmis = || barrier::statistics().nmis;
    let arrived = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let step = Barrier::new(2);
    smp::run_on_each(&|me| {
        if me.get() > 1 {
            return;
        }
        let mut served = cpu::count() > 4;
        for round in 1.. {
            let before = nmis();
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
            step.wait();
            if me == CpuIndex::BSP {
                served |= nmis() == before;
                over.store(served && round >= ROUNDS, Ordering::Relaxed);
            }
            step.wait();
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
    });
}

/// The last CPU is silent until all others have called: it gets one interrupt for all.
fn callers_share_what_is_on_its_way() {
    if cpu::count() == 1 {
        return;
    }
    let before = barrier::statistics();
    let callers = cpu::count() as u64 - 1;
    silence_the_last_cpu(before.calls + callers, NEVER);
    smp::run_on_each(&|me| {
        if me != last() {
            barrier::all();
        }
    });
    let after = barrier::statistics();
    assert_eq!(after.calls - before.calls, callers);
    let (interrupts, most) = (after.interrupts - before.interrupts, 1 + callers * (callers - 1));
    assert!(
        (1..=most).contains(&interrupts),
        "{interrupts} interrupts for {callers} callers, {most} at most"
    );
    last_cpu_is_back();
}

/// The handler for others' NMIs is not called.
fn a_cpu_with_interrupts_off_gets_an_nmi() {
    if cpu::count() == 1 {
        return;
    }
    ipi::set_nmi_handler(Some(|| panic!("an NMI that is the barrier's alone")));
    let [is_deaf, passed] = [const { AtomicBool::new(false) }; 2];
    let before = barrier::statistics();
    let start = clock::nanos();
    smp::run_on_each(&|me| {
        if me == last() {
            interrupts::without(|| {
                is_deaf.store(true, Ordering::Release);
                while !passed.load(Ordering::Acquire) {
                    core::hint::spin_loop();
                }
            });
        } else if me == CpuIndex::BSP {
            while !is_deaf.load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
            barrier::all();
            passed.store(true, Ordering::Release);
        }
    });
    assert!(barrier::statistics().nmis > before.nmis);
    assert!(clock::nanos() - start >= SECOND / 10, "impatient");
    // It was in time for this barrier, and does no harm to the next ones.
    barrier::all();
    ipi::set_nmi_handler(None);
}

/// The NMI handler below can use only statics: how often it has begun and ended.
static NMI_HANDLER: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
/// It ends when so many barriers have been called, or so many have found a CPU silent.
static ENDS_AT: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
const NEVER: u64 = u64::MAX;

fn runs_of_the_nmi_handler() -> [usize; 2] {
    NMI_HANDLER.each_ref().map(|runs| runs.load(Ordering::Acquire))
}

/// Has the last CPU stay in an NMI handler, in which it takes neither interrupts nor NMIs, until
/// there have been so many `calls` of barriers, or so many `late` ones: events, not times.
fn silence_the_last_cpu(calls: u64, late: u64) {
    // After this call it has taken all that barriers have sent before.
    ipi::call(last(), &|| {});
    for (end, at) in ENDS_AT.iter().zip([calls, late]) {
        end.store(at, Ordering::Relaxed);
    }
    NMI_HANDLER.iter().for_each(|runs| runs.store(0, Ordering::Relaxed));
    ipi::set_nmi_handler(Some(|| {
        let [calls, late] = &ENDS_AT;
        NMI_HANDLER[0].fetch_add(1, Ordering::Release);
        loop {
            let now = barrier::statistics();
            if now.calls >= calls.load(Ordering::Relaxed)
                || now.late >= late.load(Ordering::Relaxed)
            {
                break;
            }
            core::hint::spin_loop();
        }
        // A caller that does not wait for it has returned by then.
        clock::spin_for(SECOND / 50);
        NMI_HANDLER[1].fetch_add(1, Ordering::Release);
    }));
    ipi::nmi(last());
    while runs_of_the_nmi_handler()[0] == 0 {
        core::hint::spin_loop();
    }
}

/// The handler has run once: the barrier's own NMIs, which came meanwhile, were not for it.
fn last_cpu_is_back() {
    assert_eq!(runs_of_the_nmi_handler(), [1, 1], "passed without the last CPU");
    // It answers in thread context.
    ipi::call(last(), &|| {});
    barrier::all();
    assert_eq!(runs_of_the_nmi_handler(), [1, 1]);
    ipi::set_nmi_handler(None);
}

/// It stays silent until a call has found that, which is logged: the host looks there.
fn all_waits_for_a_silent_cpu() {
    if cpu::count() == 1 {
        return;
    }
    let before = barrier::statistics();
    silence_the_last_cpu(NEVER, before.late + 1);
    barrier::all();
    // While one is on its way there is no other one. More CPUs may have been slow, too.
    let nmis = barrier::statistics().nmis - before.nmis;
    assert!(cpu::count() > 2 || nmis <= 1, "{nmis} NMIs for one CPU");
    last_cpu_is_back();
}

/// Two CPUs each write a word of their own and then read the other's. With a fence between the
/// write and the read on both sides, at least one sees what the other has written. Here one side
/// has none, and the other one has the barrier.
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
