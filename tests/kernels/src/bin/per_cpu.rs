//! What only the per-CPU variant has: closes that wait at a barrier, from threads, from handlers and from
//! several CPUs at once. The contract that it shares with the other variants is in the other scenarios, its
//! counters in `counters`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, barrier, clock, cpu, interrupts, smp, timer};
use protocol::exit::ExitCode;
use rundown::{PerCpuRundown, State, WaitOutcome};
use test_kernels::{Barrier, PerCpu, next, per_cpu};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        &[
            ("closed_while_all_cpus_use_it", |_| {
                closed_while_all_cpus_use_it();
            }),
            ("cancelled_while_all_cpus_use_it", |_| {
                cancelled_while_all_cpus_use_it();
            }),
            ("closed_in_a_handler_on_top_of_its_users", |_| {
                closed_in_a_handler_on_top_of_its_users();
            }),
            ("cpus_close_each_others_objects", |_| {
                cpus_close_each_others_objects();
            }),
            ("a_thousand_closed_by_one_barrier", |_| {
                a_thousand_closed_by_one_barrier();
            }),
        ],
    )
}

type Object = PerCpuRundown<KernelPlatform>;

const SECOND: u64 = 1_000_000_000;

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// What is guarded, and notices when it is used after its teardown.
struct Used {
    rundown: Object,
    alive: AtomicBool,
}

impl Used {
    fn new() -> Self {
        Self {
            rundown: per_cpu(),
            alive: AtomicBool::new(true),
        }
    }

    /// Whether it was granted.
    fn use_once(&self) -> bool {
        let Some(guard) = self.rundown.try_acquire() else {
            return false;
        };
        assert!(
            self.alive.load(Ordering::Relaxed),
            "used after its teardown"
        );
        drop(guard);
        true
    }

    fn tear_down(&self) {
        assert_eq!(self.rundown.wait(&Halt), WaitOutcome::Drained);
        self.tear_down_drained();
    }

    fn tear_down_drained(&self) {
        assert_eq!(self.rundown.racy_held(), 0);
        self.alive.store(false, Ordering::Relaxed);
        clock::spin_for(10_000);
        self.alive.store(true, Ordering::Relaxed);
        self.rundown.reinit().expect("drained, and nobody else's");
    }
}

/// How long the scenarios below go on, at least.
fn end() -> u64 {
    clock::nanos() + SECOND / 2
}

/// Calls `work` on a CPU until it is over.
///
/// On a large machine not without a break: under TCG its CPUs share few host CPUs. They then sleep until
/// the next interrupt of any kind, or until they are woken because it is over.
fn until(over: impl Fn() -> bool, mut work: impl FnMut()) {
    while !over() {
        for _ in 0..100 {
            work();
        }
        let mut interrupted = cpu::count() <= 8;
        Halt.until(&mut || core::mem::replace(&mut interrupted, true) || over());
    }
}

/// Threads and ticks of all CPUs use it, and pass protection on to the next CPU; the BSP tears it down
/// again and again.
fn closed_while_all_cpus_use_it() {
    let used = leaked(Used::new());
    // Raw protection, to be released by another CPU.
    let given: &PerCpu<AtomicUsize> = leaked(PerCpu::new(|| AtomicUsize::new(0)));
    let take_given = |me| {
        for _ in 0..given[me].swap(0, Ordering::Acquire) {
            // SAFETY: one that another CPU has taken and put here.
            unsafe { used.rundown.release() };
        }
    };
    test_kernels::set_on_tick(leaked(move || {
        take_given(cpu::current());
        used.use_once();
    }));
    let over = AtomicBool::new(false);
    let start = Barrier::for_all();
    let restarts = || cpu::online().map(interrupts::restarts).sum::<u64>();
    let before = restarts();
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        assert!(used.use_once(), "refused although open");
        start.wait();
        if me == CpuIndex::BSP {
            let (end, mut teardowns) = (end(), 0);
            while teardowns < 5 || clock::nanos() < end {
                used.tear_down();
                teardowns += 1;
            }
            over.store(true, Ordering::Relaxed);
            KernelPlatform::wake_all();
        }
        let is_over = || over.load(Ordering::Relaxed);
        until(is_over, || {
            used.use_once();
            if used.rundown.acquire().is_ok() {
                given[next(me)].fetch_add(1, Ordering::Release);
            }
        });
    });
    // All users are gone; what is given is released by the ticks.
    assert_eq!(used.rundown.wait(&Halt), WaitOutcome::Drained);
    smp::run_on_each(&|_| timer::stop());
    assert!(cpu::online().all(|cpu| given[cpu].load(Ordering::Relaxed) == 0));
    kernel::log!("{} sequences restarted", restarts() - before);
}

/// The BSP closes and opens again what other CPUs hold and use: no count may get lost in either.
fn cancelled_while_all_cpus_use_it() {
    let used = Used::new();
    let over = AtomicBool::new(false);
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        let held = used.rundown.try_acquire().expect("open");
        start.wait();
        if me == CpuIndex::BSP {
            let (end, mut rounds) = (end(), 0);
            while rounds < 10 || clock::nanos() < end {
                used.rundown.close();
                assert_eq!(used.rundown.state(), State::Draining, "all CPUs hold it");
                used.rundown.cancel().expect("draining");
                rounds += 1;
            }
            over.store(true, Ordering::Relaxed);
            KernelPlatform::wake_all();
        }
        until(
            || over.load(Ordering::Relaxed),
            || {
                used.use_once();
            },
        );
        start.wait();
        assert_eq!(used.rundown.racy_held(), cpu::count() as i64);
        start.wait();
        drop(held);
    });
    assert_eq!(used.rundown.racy_held(), 0);
    used.tear_down();
}

/// The ticks of the BSP close, with its own thread, and those of all others, in the midst of an acquire or
/// a release.
fn closed_in_a_handler_on_top_of_its_users() {
    const ROUNDS: u64 = 20;
    static CLOSED: AtomicU64 = AtomicU64::new(0);
    let used = leaked(Used::new());
    test_kernels::set_on_tick(leaked(move || {
        assert!(interrupts::in_handler());
        // Never waits: it drains now, or by a later tick.
        if used.rundown.try_wait().is_ok() {
            used.tear_down_drained();
            CLOSED.fetch_add(1, Ordering::Relaxed);
        }
    }));
    smp::run_on_each(&|me| {
        if me == CpuIndex::BSP {
            test_kernels::start_ticking();
        }
        until(
            || CLOSED.load(Ordering::Relaxed) >= ROUNDS,
            || {
                used.use_once();
            },
        );
        KernelPlatform::wake_all();
        if me == CpuIndex::BSP {
            timer::stop();
        }
    });
}

/// Every CPU has an object; each closes the next CPU's, all at the same time, from threads and from
/// handlers, with interrupts on and off: everybody waits for everybody.
fn cpus_close_each_others_objects() {
    let used: &PerCpu<Used> = leaked(PerCpu::new(Used::new));
    let in_ticks: &PerCpu<Object> = leaked(PerCpu::new(per_cpu));
    let ticks: &PerCpu<AtomicU64> = leaked(PerCpu::new(|| AtomicU64::new(0)));
    // No more than that: closes that take longer than a tick would leave no time to the thread.
    let most = (200 / cpu::count() as u64).max(2);
    test_kernels::set_on_tick(leaked(move || {
        let me = cpu::current();
        let object = &in_ticks[next(me)];
        if ticks[me].load(Ordering::Relaxed) < most {
            if object.try_wait().is_ok() {
                object.reinit().expect("drained, and nobody else's");
            }
            ticks[me].fetch_add(1, Ordering::Relaxed);
        }
    }));
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        start.wait();
        let (end, mut rounds) = (end(), 0);
        while rounds < 2 || clock::nanos() < end {
            used[me].use_once();
            drop(in_ticks[me].try_acquire());
            let other = &used[next(me)];
            if rounds % 2 == 0 {
                other.tear_down();
            } else {
                interrupts::without(|| other.tear_down());
            }
            rounds += 1;
        }
        Halt.until(&mut || ticks[me].load(Ordering::Relaxed) > 0);
        timer::stop();
    });
    for cpu in cpu::online() {
        assert_eq!(used[cpu].rundown.state(), State::Open, "{cpu}");
    }
}

/// One interrupt for each other CPU, not a thousand.
fn a_thousand_closed_by_one_barrier() {
    let objects: Vec<Object> = (0..1000).map(|_| per_cpu()).collect();
    smp::run_on_each(&|_| {
        for object in &objects {
            object.acquire().expect("open");
        }
    });
    let mut all: Vec<&Object> = objects.iter().collect();
    let before = barrier::statistics();
    Object::close_all(&mut all).expect("legal in a thread");
    let after = barrier::statistics();
    let others = cpu::count() as u64 - 1;
    assert_eq!(after.calls - before.calls, 1);
    assert_eq!(after.rounds - before.rounds, others.min(1));
    assert_eq!(after.interrupts - before.interrupts, others);
    let held = cpu::count() as i64;
    for object in &objects {
        assert_eq!(object.state(), State::Draining);
        assert_eq!(object.racy_held(), held);
        assert!(object.try_acquire().is_none(), "granted although closed");
    }
    smp::run_on_each(&|_| {
        for object in &objects {
            // SAFETY: each CPU has taken one of each.
            unsafe { object.release() };
        }
    });
    for object in &objects {
        assert_eq!(object.wait(&Halt), WaitOutcome::Drained);
    }
}
