//! Futures that wait for drains, on the kernel's executor: one CPU, several on one, on all.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use core::future;
use core::pin::pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Poll, Waker};

use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, smp, timer};
use protocol::exit::ExitCode;
use rundown::{
    AsyncPlatform, Drain, Guard, Protected, Retired, RunDownError, Rundown, State, Variant,
    WaitOutcome,
};
use spin::Mutex;
use test_kernels::{Barrier, PerCpu, Tracked, task};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            a_drained_object_is_ready_at_once,
            one_future_releases_what_the_other_waits_for,
            an_interrupt_releases_what_the_cpu_waits_for,
            one_future_inside_another,
            every_cpu_waits_for_all_others,
            one_cpu_waits_for_an_object_of_each_cpu,
            a_cancelled_drain_ends_every_future,
            the_value_comes_out_of_one_future,
            a_dropped_future_leaves_no_trace;
            ("a_waker_works_from_any_cpu", a_waker_works_from_any_cpu),
        ],
    )
}

/// No future is in the table of those that wait.
fn nobody_waits() -> bool {
    format!("{:?}", KernelPlatform::wakers()).contains("waiting: 0")
}

/// Pending once: lets the futures beside it go on.
fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    future::poll_fn(move |context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

fn a_drained_object_is_ready_at_once<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    let rundown = new();
    assert_eq!(task::block_on(rundown.drain()), WaitOutcome::Drained);
    assert_eq!(
        task::block_on(async { rundown.drain().await }),
        WaitOutcome::Drained
    );
    assert!(nobody_waits());
}

/// No other CPU, no interrupt: the executor itself must see to it that both get on.
fn one_future_releases_what_the_other_waits_for<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    let rundown = new();
    let guard = rundown.try_acquire().expect("refused although open");
    let waiter = pin!(async { rundown.drain().await == WaitOutcome::Drained });
    let holder = pin!(async {
        for _ in 0..3 {
            yield_now().await;
            assert_eq!(rundown.state(), State::Draining);
        }
        drop(guard);
        true
    });
    assert_eq!(
        task::block_on(test_kernels::join([waiter, holder])),
        [true, true]
    );
    assert!(nobody_waits());
}

/// The release comes in a handler of the very CPU that halts: it must not come between the
/// executor's last look and its `hlt` unnoticed.
fn an_interrupt_releases_what_the_cpu_waits_for<V>(new: fn() -> Rundown<V>)
where
    V: Variant<Platform = KernelPlatform> + 'static,
{
    for _ in 0..10 {
        let rundown: &'static Rundown<V> = Box::leak(Box::new(new()));
        let guard = Mutex::new(rundown.try_acquire());
        assert!(guard.lock().is_some(), "refused although open");
        test_kernels::set_on_tick(Box::leak(Box::new(move || {
            drop(guard.lock().take());
            // One release is one wake-up; no later tick is to help.
            timer::stop();
        })));
        let drain = rundown.drain();
        test_kernels::start_ticking();
        assert_eq!(task::block_on(drain), WaitOutcome::Drained);
    }
    assert!(nobody_waits());
}

/// A future that blocks on another one takes the wake-ups of its CPU: those of the futures beside it
/// must not be lost.
fn one_future_inside_another<V: Variant<Platform = KernelPlatform>>(new: fn() -> Rundown<V>) {
    let (outer, inner) = (new(), new());
    let outer_guard = outer.try_acquire().expect("refused although open");
    let inner_guard = inner.try_acquire().expect("refused although open");
    let waiter = pin!(async { outer.drain().await == WaitOutcome::Drained });
    let blocker = pin!(async {
        // Wakes the waiter, which cannot be polled before this future is through.
        drop(outer_guard);
        let release = pin!(async {
            yield_now().await;
            drop(inner_guard);
            true
        });
        let wait = pin!(async { inner.drain().await == WaitOutcome::Drained });
        task::block_on(test_kernels::join([wait, release])) == [true, true]
    });
    assert_eq!(
        task::block_on(test_kernels::join([waiter, blocker])),
        [true, true]
    );
    assert!(nobody_waits());
}

/// One object, a future on each CPU; the last CPU's own future drops the only guard.
fn every_cpu_waits_for_all_others<V: Variant<Platform = KernelPlatform>>(new: fn() -> Rundown<V>) {
    const ROUNDS: usize = 10;
    let last = cpu::count() - 1;
    for round in 0..ROUNDS {
        let rundown = new();
        let begun = Barrier::for_all();
        let waiting = AtomicUsize::new(0);
        let released = AtomicUsize::new(0);
        smp::run_on_each(&|me| {
            let guard = (me.get() == last).then(|| rundown.try_acquire().expect("open"));
            begun.wait();
            let drain = rundown.drain();
            waiting.fetch_add(1, Ordering::AcqRel);
            KernelPlatform::wake_all();
            if let Some(guard) = guard {
                Halt.until(&mut || waiting.load(Ordering::Acquire) == last + 1);
                released.fetch_add(1, Ordering::Relaxed);
                drop(guard);
            }
            assert_eq!(task::block_on(drain), WaitOutcome::Drained);
            let released = released.load(Ordering::Relaxed);
            assert_eq!(released, 1, "a wait ended early, round {round}");
        });
    }
    assert!(nobody_waits());
}

/// Four futures on the BSP, each for an object that some of the CPUs hold: all release at once.
fn one_cpu_waits_for_an_object_of_each_cpu<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    const OBJECTS: usize = 4;
    let objects: [Rundown<V>; OBJECTS] = core::array::from_fn(|_| new());
    let held = Barrier::for_all();
    smp::run_on_each(&|me| {
        let guard = objects[me.get() % OBJECTS].try_acquire();
        assert!(guard.is_some(), "refused although open");
        held.wait();
        if me.get() > 0 {
            return drop(guard);
        }
        let [a, b, c, d] = objects.each_ref().map(|object| object.drain());
        let release = pin!(async {
            yield_now().await;
            drop(guard);
            WaitOutcome::Drained
        });
        let (a, b, c, d) = (pin!(a), pin!(b), pin!(c), pin!(d));
        let all = test_kernels::join([a, b, c, d, release]);
        assert_eq!(task::block_on(all), [WaitOutcome::Drained; OBJECTS + 1]);
    });
    assert!(nobody_waits());
}

/// The BSP cancels while every CPU (itself included) waits by a future.
fn a_cancelled_drain_ends_every_future<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    let rundown = new();
    let guard = Mutex::new(rundown.try_acquire());
    let waiting = AtomicUsize::new(0);
    smp::run_on_each(&|me| {
        let drain = rundown.drain();
        waiting.fetch_add(1, Ordering::AcqRel);
        KernelPlatform::wake_all();
        if me.get() == 0 {
            Halt.until(&mut || waiting.load(Ordering::Acquire) == cpu::count());
            assert!(rundown.cancel().is_ok());
        }
        assert_eq!(task::block_on(drain), WaitOutcome::Cancelled);
    });
    assert!(rundown.try_acquire().is_some(), "refused although open");
    drop(guard);
    assert!(nobody_waits());
}

/// Every CPU runs the object down; one of them gets the value.
fn the_value_comes_out_of_one_future<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    let object = Protected::new(new(), Tracked::new(5));
    let shelves: PerCpu<Mutex<Option<Guard<'_, Tracked, V>>>> = PerCpu::new(|| Mutex::new(None));
    let all_hold = Barrier::for_all();
    let taken = AtomicUsize::new(0);
    smp::run_on_each(&|me| {
        *shelves[me].lock() = object.try_acquire();
        all_hold.wait();
        let release = pin!(async {
            yield_now().await;
            let guard = shelves[test_kernels::next(me)].lock().take();
            assert_eq!(guard.expect("held").touch(), 5);
        });
        let run_down = pin!(async {
            match object.begin_run_down().await.and_then(Retired::take) {
                Ok(value) => {
                    assert_eq!(value.touch(), 5);
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => assert_eq!(error, RunDownError::Taken),
            }
        });
        task::block_on(test_kernels::join([run_down, release]));
    });
    assert_eq!(taken.load(Ordering::Relaxed), 1);
    assert_eq!(object.state(), State::RunDown);
    assert!(nobody_waits());
}

/// Every CPU polls a future once and drops it; the table forgets it, and the object drains as ever.
fn a_dropped_future_leaves_no_trace<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    let rundown = new();
    let guard = Mutex::new(rundown.try_acquire());
    smp::run_on_each(&|_| {
        let mut wait = pin!(Some(rundown.drain()));
        task::block_on(future::poll_fn(|context| {
            let pending = wait
                .as_mut()
                .as_pin_mut()
                .expect("not dropped")
                .poll(context);
            assert_eq!(pending, Poll::Pending, "one is held");
            Poll::Ready(())
        }));
        wait.set(None);
    });
    assert!(nobody_waits());
    assert_eq!(rundown.state(), State::Draining);
    drop(guard.into_inner());
    let drain: Drain<'_, V> = rundown.drain();
    assert_eq!(task::block_on(drain), WaitOutcome::Drained);
}

/// The BSP wakes the future of each other CPU in turn, which sleeps then, or is about to. No object is in
/// it, so nothing but the waker can end that sleep.
fn a_waker_works_from_any_cpu(_: &'static Machine) {
    const ROUNDS: usize = 20;
    let wakers = PerCpu::new(|| Mutex::new(None));
    let events = PerCpu::new(|| AtomicUsize::new(0));
    smp::run_on_each(&|me| {
        for round in 1..=ROUNDS {
            if me.get() > 0 {
                task::block_on(future::poll_fn(|context| {
                    *wakers[me].lock() = Some(context.waker().clone());
                    // The BSP may have come before it found the waker.
                    match events[me].load(Ordering::Acquire) >= round {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                }));
                continue;
            }
            for other in cpu::online().filter(|other| other.get() > 0) {
                events[other].store(round, Ordering::Release);
                let waker: Option<Waker> = wakers[other].lock().take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    });
}
