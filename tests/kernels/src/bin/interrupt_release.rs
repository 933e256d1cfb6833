//! Guards taken in thread context and released in interrupt context, on the same CPU and on others
//! (S4, S5).
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::cpu::CpuIndex;
use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, interrupts, ipi, smp, timer};
use protocol::exit::ExitCode;
use rundown::{Guard, Protected, Rundown, Variant};
use spin::Mutex;
use test_kernels::{Barrier, PerCpu, Tracked, next};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            taken_in_a_thread_released_by_a_call,
            taken_in_a_thread_released_by_the_timer,
            the_timer_lets_the_waiter_of_its_own_cpu_go,
            taken_and_released_by_the_timer,
        ],
    )
}

/// A place where a thread leaves a guard for an interrupt handler.
///
/// A thread locks it with interrupts disabled: the handler on its CPU could never get the lock.
struct Parking<V: Variant + 'static>(Mutex<Option<Guard<'static, Tracked, V>>>);

impl<V: Variant + 'static> Parking<V> {
    fn empty() -> Self {
        Self(Mutex::new(None))
    }

    fn park(&self, guard: Guard<'static, Tracked, V>) {
        let before = interrupts::without(|| self.0.lock().replace(guard));
        assert!(before.is_none(), "parked on top of another guard");
    }

    fn is_empty(&self) -> bool {
        interrupts::without(|| self.0.lock().is_none())
    }

    /// Releases what is parked, in a handler; says whether there was anything.
    fn release(&self) -> bool {
        assert!(interrupts::in_handler(), "released in thread context");
        let guard = self.0.lock().take();
        guard.is_some_and(|guard| {
            guard.touch();
            true
        })
    }
}

fn leaked<V: Variant + 'static>(rundown: Rundown<V>) -> &'static Protected<Tracked, V> {
    Box::leak(Box::new(Protected::new(rundown, Tracked::new(7))))
}

/// Every CPU parks a guard; the BSP has each of them released by a call to the CPU itself, and
/// then, in a second round, by a call to the CPU after it.
fn taken_in_a_thread_released_by_a_call<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    let here: fn(CpuIndex) -> CpuIndex = |taker| taker;
    for releaser_of in [here, next] {
        let object = leaked(new());
        let parking = PerCpu::new(Parking::empty);
        smp::run_on_each(&|me| {
            parking[me].park(object.try_acquire().expect("refused although open"));
        });
        object.close();
        for taker in cpu::online() {
            assert!(!object.is_drained(), "drained while guards are parked");
            let released = AtomicUsize::new(0);
            ipi::call(releaser_of(taker), &|| {
                if parking[taker].release() {
                    released.fetch_add(1, Ordering::Relaxed);
                }
            });
            assert_eq!(
                released.load(Ordering::Relaxed),
                1,
                "{taker} had parked nothing"
            );
        }
        assert!(object.is_drained(), "not drained after the last release");
        assert!(object.run_down(&Halt).is_ok());
    }
}

/// Has the timers of all CPUs release what is parked, while every CPU parks guard after guard.
fn taken_in_a_thread_released_by_the_timer<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const GUARDS: usize = 10;
    let object = leaked(new());
    let parking: &PerCpu<Parking<V>> = Box::leak(Box::new(PerCpu::new(Parking::empty)));
    let released: &PerCpu<AtomicUsize> = Box::leak(Box::new(PerCpu::new(|| AtomicUsize::new(0))));
    test_kernels::set_on_tick(Box::leak(Box::new(move || {
        let me = cpu::current();
        if parking[me].release() {
            released[me].fetch_add(1, Ordering::Relaxed);
        }
    })));
    let all_parked = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        for _ in 1..GUARDS {
            parking[me].park(object.try_acquire().expect("refused although open"));
            Halt.until(&mut || parking[me].is_empty());
        }
        let last = object.try_acquire().expect("refused although open");
        all_parked.wait();
        parking[me].park(last);
        if me == owner {
            // Closes while guards are parked on all CPUs; their timers let it go on.
            assert!(object.run_down(&Halt).is_ok());
        }
        Halt.until(&mut || parking[me].is_empty());
        timer::stop();
    });
    for cpu in cpu::online() {
        assert_eq!(released[cpu].load(Ordering::Relaxed), GUARDS, "{cpu}");
    }
}

/// The last release comes in an interrupt that hits the very CPU that waits, again and again: it
/// must not come between the waiter's last look and its `hlt` unnoticed.
fn the_timer_lets_the_waiter_of_its_own_cpu_go<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    const ROUNDS: usize = 10;
    for round in 0..ROUNDS {
        let object = leaked(new());
        let parking: &Parking<V> = Box::leak(Box::new(Parking::empty()));
        test_kernels::set_on_tick(Box::leak(Box::new(move || {
            if parking.release() {
                // One release is one wake-up; no later tick is to help.
                timer::stop();
            }
        })));
        parking.park(object.try_acquire().expect("refused although open"));
        object.close();
        assert!(
            !object.is_drained(),
            "drained while a guard is parked, round {round}"
        );
        test_kernels::start_ticking();
        assert!(object.run_down(&Halt).is_ok());
        assert!(parking.is_empty(), "the wait ended early, round {round}");
    }
}

/// Handlers on all CPUs take and release while the owner closes: all granted before, none after.
fn taken_and_released_by_the_timer<V: Variant + 'static>(new: fn() -> Rundown<V>) {
    let object = leaked(new());
    let grants: &PerCpu<AtomicUsize> = Box::leak(Box::new(PerCpu::new(|| AtomicUsize::new(0))));
    let refusals: &PerCpu<AtomicUsize> = Box::leak(Box::new(PerCpu::new(|| AtomicUsize::new(0))));
    test_kernels::set_on_tick(Box::leak(Box::new(move || {
        assert!(interrupts::in_handler(), "a tick in thread context");
        let me = cpu::current();
        let counts = match object.try_acquire() {
            Some(guard) => {
                assert_eq!(guard.touch(), 7);
                grants
            }
            None => refusals,
        };
        counts[me].fetch_add(1, Ordering::Relaxed);
        KernelPlatform::wake_all();
    })));
    let all_granted = Barrier::for_all();
    let torn_down = Barrier::for_all();
    let owner = cpu::current();
    smp::run_on_each(&|me| {
        test_kernels::start_ticking();
        Halt.until(&mut || grants[me].load(Ordering::Acquire) >= 2);
        all_granted.wait();
        if me == owner {
            drop(object.run_down(&Halt).expect("run down by nobody else"));
        }
        torn_down.wait();
        let before = grants[me].load(Ordering::Relaxed);
        let seen = refusals[me].load(Ordering::Relaxed);
        Halt.until(&mut || refusals[me].load(Ordering::Acquire) >= seen + 2);
        timer::stop();
        assert_eq!(
            grants[me].load(Ordering::Relaxed),
            before,
            "granted after the teardown"
        );
    });
}
