//! What only the per-CPU variant has: closes that wait at a barrier, from threads, from handlers and from
//! several CPUs at once. The contract that it shares with the other variants is in the other scenarios, its
//! counters in `counters`.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{barrier, clock, cpu, interrupts, smp, timer};
use rundown::{PerCpuRundown, State, WaitOutcome};
use test_kernels::{
    Barrier, Device, PerCpu, half_a_second_from_now, leaked, next, per_cpu, tests, until,
};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        once {
            closed_while_all_cpus_use_it,
            closed_in_a_handler_on_top_of_its_users,
            cpus_close_each_others_objects,
            a_thousand_closed_by_one_barrier,
        }
    }
}

type Object = PerCpuRundown<KernelPlatform>;

fn tear_down(device: &Device<rundown::PerCpu<KernelPlatform>>) {
    assert_eq!(device.rundown.wait(&Halt), WaitOutcome::Drained);
    device.tear_down(|| clock::spin_for(10_000));
}

/// Threads and ticks of all CPUs use it, and pass protection on to the next CPU; the BSP tears it down
/// again and again.
fn closed_while_all_cpus_use_it() {
    let used = leaked(Device::new(per_cpu()));
    test_kernels::set_on_tick(leaked(move || {
        used.empty_pocket(cpu::current());
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
            let (end, mut teardowns) = (half_a_second_from_now(), 0);
            while teardowns < 5 || clock::nanos() < end {
                tear_down(used);
                teardowns += 1;
            }
            over.store(true, Ordering::Relaxed);
            KernelPlatform::wake_all();
        }
        let is_over = || over.load(Ordering::Relaxed);
        until(is_over, || {
            used.use_once();
            used.fill_pocket(next(me));
        });
    });
    // All users are gone; what is in the pockets is released by the ticks.
    assert_eq!(used.rundown.wait(&Halt), WaitOutcome::Drained);
    smp::run_on_each(&|_| timer::stop());
    assert_eq!(used.rundown.racy_held(), 0);
    kernel::log!("{} sequences restarted", restarts() - before);
}

/// The ticks of the BSP close, with its own thread, and those of all others, in the middle of an acquire or
/// a release.
fn closed_in_a_handler_on_top_of_its_users() {
    const ROUNDS: u64 = 20;
    static CLOSED: AtomicU64 = AtomicU64::new(0);
    let used = leaked(Device::new(per_cpu()));
    test_kernels::set_on_tick(leaked(move || {
        assert!(interrupts::in_handler());
        // Never waits: it drains now, or by a later tick.
        if used.rundown.try_wait().is_ok() {
            used.tear_down(|| clock::spin_for(10_000));
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
    let used: &PerCpu<Device<_>> = leaked(PerCpu::new(|| Device::new(per_cpu())));
    let in_ticks: &PerCpu<Object> = leaked(PerCpu::new(per_cpu));
    let ticks: &PerCpu<AtomicU64> = leaked(PerCpu::new(|| AtomicU64::new(0)));
    // No more than that: closes that take longer than a tick would leave no time to the thread.
    let most = (200 / cpu::count() as u64).max(2);
    test_kernels::set_on_tick(leaked(move || {
        let me = cpu::current();
        let object = &in_ticks[next(me)];
        if ticks[me].load(Ordering::Relaxed) < most {
            if object.try_wait().is_ok() {
                object.reinit().expect("drained, with one owner");
            }
            ticks[me].fetch_add(1, Ordering::Relaxed);
        }
    }));
    let start = Barrier::for_all();
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        start.wait();
        let (end, mut rounds) = (half_a_second_from_now(), 0);
        while rounds < 2 || clock::nanos() < end {
            used[me].use_once();
            drop(in_ticks[me].try_acquire());
            let other = &used[next(me)];
            if rounds % 2 == 0 {
                tear_down(other);
            } else {
                interrupts::without(|| tear_down(other));
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
