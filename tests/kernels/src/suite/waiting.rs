//! Waiting with a deadline, by polling, and in several manners at once; and who is woken for what.

use alloc::format;
use alloc::vec::Vec;
use core::future;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::task::{Poll, Waker};
use core::time::Duration;

use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{clock, cpu, interrupts, ipi, smp, timer};
use rundown::{AsyncPlatform, Clock, Rundown, Spin, State, Variant, WaitOutcome};
use spin::Mutex;
use test_kernels::{Barrier, PerCpu, after, leaked, plain, task, tests};

/// Soon, for an emulated CPU on a busy host.
const SOON: Duration = Duration::from_millis(2);
/// A deadline that is never reached: the rig's own is shorter.
const LATE: Duration = Duration::from_secs(3600);
/// An alarm that is set for so late rings after about a minute, to be set again: a wake-up that is lost
/// would come by it.
const LONG_BEFORE_LATE: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each {
            a_missed_deadline_says_what_is_outstanding,
            a_release_on_another_cpu_comes_before_the_deadline,
            waiters_of_every_manner_return,
            only_waiters_of_that_object_are_woken,
            an_interrupt_releases_what_the_cpu_waits_for,
        }
        once {
            a_deadline_outlives_the_timer,
            a_deadline_leaves_a_ticking_timer_alone,
            a_deadline_holds_with_interrupts_off,
            a_waker_works_from_any_cpu,
        }
    }
}

/// No interrupt comes but that of the deadline.
fn a_missed_deadline_says_what_is_outstanding<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    let rundown = new();
    let mut guards = Vec::new();
    for held in 1..=3 {
        let guard = rundown.try_acquire();
        guards.push(guard.expect("refused although open"));
        let deadline = after(SOON);
        let missed = rundown.wait_deadline(&Halt, deadline);
        assert!(KernelPlatform::now() >= deadline, "gave up too early");
        let outstanding = missed.expect_err("drained while a guard is out");
        assert_eq!(outstanding.object, rundown.id());
        assert_eq!(outstanding.state, State::Draining);
        assert_eq!(outstanding.held, held);
        // Who could not wait any longer goes on as if nothing had been.
        assert!(rundown.cancel().is_ok());
    }
    rundown.close();
    drop(guards);
    let met = rundown.wait_deadline(&Halt, after(LATE));
    assert_eq!(met, Ok(WaitOutcome::Drained));
}

/// `hlt` would never end; the wait must not use it.
fn a_deadline_holds_with_interrupts_off() {
    let rundown = plain();
    let _guard = rundown.try_acquire().expect("refused although open");
    let missed = interrupts::without(|| rundown.wait_deadline(&Halt, after(SOON)));
    assert!(missed.is_err(), "drained while a guard is out");
}

/// A CPU that has periodic ticks looks at its deadlines then, and goes on ticking.
fn a_deadline_leaves_a_ticking_timer_alone() {
    static TICKS: AtomicUsize = AtomicUsize::new(0);
    let rundown = plain();
    let _guard = rundown.try_acquire().expect("refused although open");
    timer::start(SOON, || {
        TICKS.fetch_add(1, Ordering::Relaxed);
    });
    for _ in 0..3 {
        assert!(rundown.wait_deadline(&Halt, after(SOON)).is_err());
    }
    let before = TICKS.load(Ordering::Relaxed);
    Halt.until(&mut || TICKS.load(Ordering::Relaxed) > before + 1);
    timer::stop();
}

/// The ticks that a sleeper relies on end while it sleeps: it must not sleep on.
fn a_deadline_outlives_the_timer() {
    let rundown = plain();
    let _guard = rundown.try_acquire().expect("refused although open");
    timer::start(SOON, timer::stop);
    assert!(rundown.wait_deadline(&Halt, after(SOON * 4)).is_err());
}

/// The release ends the wait, not the deadline.
fn a_release_on_another_cpu_comes_before_the_deadline<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    if cpu::count() == 1 {
        return;
    }
    let start = clock::nanos();
    for _ in 0..10 {
        let rundown = new();
        let holds = Barrier::new(2);
        smp::run_on_each(&|me| match me.get() {
            0 => {
                holds.wait();
                let met = rundown.wait_deadline(&Halt, after(LATE));
                assert_eq!(met, Ok(WaitOutcome::Drained));
            }
            1 => {
                let guard = rundown.try_acquire();
                holds.wait();
                // Lets go only when the waiter has closed.
                while rundown.state() == State::Open {
                    core::hint::spin_loop();
                }
                drop(guard);
            }
            _ => {}
        });
    }
    let took = Duration::from_nanos(clock::nanos() - start);
    assert!(took < LONG_BEFORE_LATE, "woken by the alarm, not by the release");
}

/// Half of the CPUs hold guards and release them one after the other; all others wait, in turns by
/// halting, with a deadline far off, with many deadlines, and as a future; the last one spins.
fn waiters_of_every_manner_return<V: Variant<Platform = KernelPlatform>>(new: fn() -> Rundown<V>) {
    for round in 0..3 {
        let rundown = new();
        let begun = Barrier::for_all();
        let waiting = AtomicUsize::new(0);
        let released = AtomicUsize::new(0);
        let holders = cpu::count() / 2;
        smp::run_on_each(&|me| {
            // One CPU waits by itself.
            let place = me.get();
            let guard = (place < holders).then(|| rundown.try_acquire().expect("open"));
            begun.wait();
            if let Some(guard) = guard {
                let waiters = cpu::count() - holders;
                Halt.until(&mut || waiting.load(Ordering::Acquire) == waiters);
                released.fetch_add(1, Ordering::Relaxed);
                drop(guard);
                return;
            }
            let mut drain = rundown.drain();
            waiting.fetch_add(1, Ordering::AcqRel);
            KernelPlatform::wake_all();
            let outcome = match place % 4 {
                _ if place + 1 == cpu::count() => drain.wait(&Spin),
                0 => drain.wait_deadline(&Halt, after(LATE)).expect("in time"),
                1 => loop {
                    if let Ok(outcome) = drain.wait_deadline(&Halt, after(SOON)) {
                        break outcome;
                    }
                },
                2 => task::block_on(drain),
                _ => drain.wait(&Halt),
            };
            assert_eq!(outcome, WaitOutcome::Drained);
            let released = released.load(Ordering::Relaxed);
            assert_eq!(released, holders, "a wait ended early, round {round}");
        });
        assert!(rundown.is_drained());
    }
}

/// Two CPUs sleep, each for an object of its own. While one object drains, is re-opened and drains
/// again, the other's waiter is left asleep.
fn only_waiters_of_that_object_are_woken<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    const ROUNDS: u64 = 20;
    let (sleeper, waiter) = (1, 2);
    if cpu::count() < 3 {
        return;
    }
    // The first one is the sleeper's.
    let (quiet, busy) = (new(), new());
    let (begun, settled) = (Barrier::new(3), AtomicUsize::new(0));
    let before = AtomicU64::new(u64::MAX);
    let rounds = AtomicU64::new(0);
    smp::run_on_each(&|me| {
        if me.get() > waiter {
            return;
        }
        let held = (me.get() == 0).then(|| quiet.try_acquire().expect("open"));
        begun.wait();
        // The wake-ups of the barrier have been sent when all are here, and are taken at once.
        settled.fetch_add(1, Ordering::AcqRel);
        while settled.load(Ordering::Acquire) < 3 {
            core::hint::spin_loop();
        }
        let taken = || ipi::wakes_taken(me);
        if me.get() == sleeper {
            before.store(taken(), Ordering::Release);
            assert_eq!(quiet.wait(&Halt), WaitOutcome::Drained);
            let woken = taken() - before.load(Ordering::Relaxed);
            // Once, or not at all if it looked just when its own was released.
            assert!(woken <= 1, "woken {woken} times, for another object");
        } else if me.get() == waiter {
            for round in 1..=ROUNDS {
                assert_eq!(busy.wait(&Halt), WaitOutcome::Drained);
                assert!(busy.reinit().is_ok());
                rounds.store(round, Ordering::Release);
            }
        } else {
            // Not asleep yet, it could not be woken by mistake.
            while quiet.state() == State::Open || before.load(Ordering::Acquire) == u64::MAX {
                core::hint::spin_loop();
            }
            clock::spin_for(SOON.as_nanos() as u64);
            for round in 1..=ROUNDS {
                while rounds.load(Ordering::Acquire) < round {
                    // Taken before the waiter closes, if it can be; released when it sleeps, or soon.
                    let guard = busy.try_acquire();
                    clock::spin_for(20_000);
                    drop(guard);
                }
            }
            drop(held);
        }
    });
}

/// No future is in the table of those that wait.
fn nobody_waits() -> bool {
    format!("{:?}", KernelPlatform::wakers()).contains("waiting: 0")
}

/// The release comes in a handler of the very CPU that halts: it must not come between the
/// executor's last look and its `hlt` unnoticed.
fn an_interrupt_releases_what_the_cpu_waits_for<V>(new: fn() -> Rundown<V>)
where
    V: Variant<Platform = KernelPlatform> + 'static,
{
    for _ in 0..10 {
        let rundown: &'static Rundown<V> = leaked(new());
        let guard = Mutex::new(rundown.try_acquire());
        assert!(guard.lock().is_some(), "refused although open");
        test_kernels::set_on_tick(leaked(move || {
            drop(guard.lock().take());
            // One release is one wake-up; no later tick is to help.
            timer::stop();
        }));
        let drain = rundown.drain();
        test_kernels::start_ticking();
        assert_eq!(task::block_on(drain), WaitOutcome::Drained);
    }
    assert!(nobody_waits());
}

/// The BSP wakes the future of each other CPU in turn, which sleeps then, or is about to. No object is in
/// it, so nothing but the waker can end that sleep.
fn a_waker_works_from_any_cpu() {
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
