//! Protection taken in thread context and released in interrupt context, or both in interrupt context (S4, S5).

use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{cpu, interrupts, smp, timer};
use rundown::{Rundown, Variant};
use test_kernels::{Barrier, Device, PerCpu, leaked, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each {
            taken_in_a_thread_released_by_the_timer,
            the_timer_lets_the_waiter_of_its_own_cpu_go,
            taken_and_released_by_the_timer,
        }
    }
}

/// Has the timers of all CPUs release what is in the pocket, while every CPU puts one protection in after the other.
fn taken_in_a_thread_released_by_the_timer<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const TAKEN: usize = 10;
    let device = leaked(Device::new(new()));
    let released: &PerCpu<AtomicUsize> = leaked(PerCpu::new(|| AtomicUsize::new(0)));
    test_kernels::set_on_tick(leaked(move || {
        assert!(interrupts::in_handler(), "a tick in thread context");
        let me = cpu::current();
        if device.release_one(me) {
            released[me].fetch_add(1, Ordering::Relaxed);
        }
    }));
    let all_hold = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        let released = || released[me].load(Ordering::Relaxed);
        for taken in 1..TAKEN {
            assert!(device.fill_pocket(me), "refused although open");
            Halt.until(&mut || released() == taken);
        }
        let last = device.rundown.try_acquire();
        assert!(last.is_some(), "refused although open");
        assert!(device.fill_pocket(me), "refused although open");
        all_hold.wait();
        drop(last);
        if me == owner {
            // Closes while protections are in all pockets; the timers let it go on.
            device.drain(&[]);
        }
        Halt.until(&mut || released() == TAKEN);
        timer::stop();
    });
    device.tear_down(|| {});
}

/// The last release comes in an interrupt that hits the very CPU that waits, again and again: it
/// must not come between the waiter's last look and its `hlt` unnoticed.
fn the_timer_lets_the_waiter_of_its_own_cpu_go<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const ROUNDS: usize = 10;
    for _ in 0..ROUNDS {
        let device = leaked(Device::new(new()));
        let me = cpu::current();
        test_kernels::set_on_tick(leaked(move || {
            if device.release_one(me) {
                // One release is one wake-up; no later tick is to help.
                timer::stop();
            }
        }));
        assert!(device.fill_pocket(me), "refused although open");
        device.rundown.close();
        assert!(!device.rundown.is_drained(), "drained while one is held");
        test_kernels::start_ticking();
        device.drain(&[]);
        device.tear_down(|| {});
    }
}

/// Handlers on all CPUs take and release while the owner closes: all granted before, none after.
fn taken_and_released_by_the_timer<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    let device = leaked(Device::new(new()));
    let [grants, refusals]: [&PerCpu<AtomicUsize>; 2] =
        [(); 2].map(|()| leaked(PerCpu::new(|| AtomicUsize::new(0))));
    test_kernels::set_on_tick(leaked(move || {
        let counts = if device.use_once() { grants } else { refusals };
        counts[cpu::current()].fetch_add(1, Ordering::Relaxed);
        KernelPlatform::wake_all();
    }));
    let all_granted = Barrier::for_all();
    let torn_down = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        Halt.until(&mut || grants[me].load(Ordering::Acquire) >= 2);
        all_granted.wait();
        if me == owner {
            device.drain(&[]);
        }
        torn_down.wait();
        let before = grants[me].load(Ordering::Relaxed);
        let seen = refusals[me].load(Ordering::Relaxed);
        Halt.until(&mut || refusals[me].load(Ordering::Acquire) >= seen + 2);
        timer::stop();
        assert_eq!(grants[me].load(Ordering::Relaxed), before, "granted after the teardown");
    });
}
