//! Waiting with a deadline, by polling, and in several manners at once; and which waiters are
//! woken.

use alloc::format;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{clock, cpu, interrupts, ipi, smp, timer};
use rundown::{AsyncPlatform, Clock, Rundown, Spin, State, Variant, WaitOutcome};
use test_kernels::{Barrier, after, apic, leaked, plain, task, tests};

/// Soon, for an emulated CPU on a busy host.
const SOON: Duration = Duration::from_millis(2);
/// A deadline that is never reached: the rig's own is shorter.
const LATE: Duration = Duration::from_secs(3600);

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each {
            waiters_of_every_manner_return,
            only_waiters_of_that_object_are_woken,
            an_interrupt_releases_what_the_cpu_waits_for,
        }
        once { a_missed_deadline_ends_the_wait }
    }
}

/// By its own interrupt, by looking where interrupts are off, beside a timer that ticks and goes on
/// ticking, and where a timer that the sleeper relied on stops meanwhile.
fn a_missed_deadline_ends_the_wait() {
    static TICKS: AtomicUsize = AtomicUsize::new(0);
    let rundown = plain();
    let _guard = rundown.try_acquire().expect("refused although open");
    let miss = |time| {
        let deadline = after(time);
        assert!(rundown.wait_deadline(&Halt, deadline).is_err(), "drained while a guard is out");
        assert!(KernelPlatform::now() >= deadline, "gave up too early");
    };
    miss(SOON);
    interrupts::without(|| miss(SOON));
    timer::start(SOON, || {
        TICKS.fetch_add(1, Ordering::Relaxed);
    });
    (0..3).for_each(|_| miss(SOON));
    let before = TICKS.load(Ordering::Relaxed);
    Halt.until(&mut || TICKS.load(Ordering::Relaxed) > before + 1);
    timer::start(SOON, timer::stop);
    miss(SOON * 4);
}

/// Half of the CPUs hold guards. All others wait: by halting, with a deadline far off, with many
/// deadlines, and as a future; the last one spins. The holders release one after the other; or one
/// of them cancels, and closes again at once: a waiter that looks late must not wait for that
/// drain.
fn waiters_of_every_manner_return<V: Variant<Platform = KernelPlatform>>(new: fn() -> Rundown<V>) {
    let holders = cpu::count() / 2;
    for round in 0..8 {
        let rundown = new();
        let begun = Barrier::for_all();
        let returned = Barrier::for_all();
        let waiting = AtomicUsize::new(0);
        let released = AtomicUsize::new(0);
        let cancels = round >= 4 && holders > 0;
        smp::run_on_each(&|me| {
            let place = me.get();
            let guard = (place < holders).then(|| rundown.try_acquire().expect("open"));
            begun.wait();
            if let Some(guard) = guard {
                let waiters = cpu::count() - holders;
                Halt.until(&mut || waiting.load(Ordering::Acquire) == waiters);
                if cancels && place == 0 {
                    assert!(rundown.cancel().is_ok());
                    rundown.close();
                }
                if cancels {
                    returned.wait();
                }
                released.fetch_add(1, Ordering::Relaxed);
                drop(guard);
                return;
            }
            let mut drain = rundown.drain();
            waiting.fetch_add(1, Ordering::AcqRel);
            KernelPlatform::wake_all();
            let outcome = match (place + round) % 4 {
                _ if place > 2 && place + 1 == cpu::count() => drain.wait(&Spin),
                0 => without_alarm(|| drain.wait_deadline(&Halt, after(LATE)).expect("in time")),
                1 => loop {
                    if let Ok(outcome) = drain.wait_deadline(&Halt, after(SOON)) {
                        break outcome;
                    }
                },
                2 => task::block_on(drain),
                _ => drain.wait(&Halt),
            };
            if cancels {
                assert_eq!(outcome, WaitOutcome::Cancelled, "round {round}");
                returned.wait();
            } else {
                assert_eq!(outcome, WaitOutcome::Drained, "round {round}");
                let released = released.load(Ordering::Relaxed);
                assert_eq!(released, holders, "a wait ended early, round {round}");
            }
        });
        assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    }
}

/// Waits beside a periodic timer that never ticks. A sleeper with a deadline relies on that instead
/// of an alarm, which would ring after a minute and hide that a wake-up was lost.
fn without_alarm<T>(wait: impl FnOnce() -> T) -> T {
    timer::start(LATE, || {});
    apic::mask_timer();
    let done = wait();
    timer::stop();
    done
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
                    // Taken before the waiter closes, if it can be; released when it sleeps, or
                    // soon.
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
fn no_future_waits() -> bool {
    format!("{:?}", KernelPlatform::wakers()).contains("waiting: 0")
}

/// The last release comes in a handler of the very CPU that halts: it must not come unnoticed
/// between the waiter's or the executor's last look and its `hlt`.
fn an_interrupt_releases_what_the_cpu_waits_for<V>(new: fn() -> Rundown<V>)
where
    V: Variant<Platform = KernelPlatform> + 'static,
{
    for round in 0..20 {
        let rundown: &'static Rundown<V> = leaked(new());
        assert!(rundown.acquire().is_ok(), "refused although open");
        test_kernels::set_on_tick(leaked(move || {
            // SAFETY: the one taken above.
            unsafe { rundown.release() };
            // One release is one wake-up; no later tick is to help.
            timer::stop();
        }));
        let mut drain = rundown.drain();
        test_kernels::start_ticking();
        let outcome = match round % 2 {
            0 => drain.wait(&Halt),
            _ => task::block_on(drain),
        };
        assert_eq!(outcome, WaitOutcome::Drained);
    }
    assert!(no_future_waits());
}
