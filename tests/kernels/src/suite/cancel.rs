//! A drain is cancelled while other CPUs hold, wait, or release (S10).

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use kernel::platform::{Halt, KernelPlatform};
use kernel::testing::Test;
use kernel::{cpu, smp};
use rundown::{Rundown, State, Variant, WaitOutcome};
use test_kernels::{Barrier, PerCpu, after, task, tests};

pub(crate) fn tests() -> &'static [Test] {
    tests! {
        each {
            waiters_on_other_cpus_learn_it,
            a_cancel_and_the_last_release_have_one_winner,
            closers_and_cancellers_on_all_cpus,
        }
    }
}

/// All CPUs but the holder wait, by halting, with a deadline or as a future; the holder cancels. Then
/// the object closes again at once: whoever looks late must not wait for that drain.
fn waiters_on_other_cpus_learn_it<V: Variant<Platform = KernelPlatform>>(new: fn() -> Rundown<V>) {
    let holder = cpu::count() - 1;
    for round in 0..6 {
        let rundown = new();
        let held = Barrier::for_all();
        let waiting = AtomicUsize::new(0);
        let returned = Barrier::for_all();
        smp::run_on_each(&|me| {
            if me.get() == holder {
                let guard = rundown.try_acquire().expect("refused although open");
                held.wait();
                Halt.until(&mut || waiting.load(Ordering::Acquire) == holder);
                if holder > 0 {
                    assert!(rundown.cancel().is_ok());
                    if round % 2 == 0 {
                        rundown.close();
                    }
                }
                returned.wait();
                drop(guard);
                return;
            }
            held.wait();
            let mut drain = rundown.drain();
            waiting.fetch_add(1, Ordering::AcqRel);
            KernelPlatform::wake_all();
            let outcome = match me.get() % 3 {
                0 => drain.wait(&Halt),
                1 => drain.wait_deadline(&Halt, after(Duration::from_secs(3600))).expect("in time"),
                _ => task::block_on(drain),
            };
            assert_eq!(outcome, WaitOutcome::Cancelled, "round {round}");
            returned.wait();
        });
        assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    }
}

/// One CPU releases the last reference while another one cancels and a third one waits. If the cancel
/// is granted, the waiter learns it; if not, the object has drained.
fn a_cancel_and_the_last_release_have_one_winner<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    const ROUNDS: usize = 50;
    let cpus = cpu::count();
    if cpus == 1 {
        return;
    }
    // With two CPUs the one that cancels also waits, afterwards.
    let parties = cpus.min(3);
    for round in 0..ROUNDS {
        let rundown = new();
        let (held, closed) = (Barrier::new(parties), AtomicUsize::new(0));
        let cancelled = AtomicBool::new(false);
        smp::run_on_each(&|me| {
            let place = me.get();
            if place >= parties {
                return;
            }
            let guard = (place == 0).then(|| rundown.try_acquire().expect("open"));
            held.wait();
            let mut drain = rundown.drain();
            closed.fetch_add(1, Ordering::AcqRel);
            while closed.load(Ordering::Acquire) < parties {
                core::hint::spin_loop();
            }
            drop(guard);
            if place == 1 {
                let cancel = rundown.cancel();
                cancelled.store(cancel.is_ok(), Ordering::Relaxed);
                if let Err(error) = cancel {
                    assert_eq!(error.found, State::Drained, "round {round}");
                }
            }
            if place == parties - 1 {
                let outcome = drain.wait(&Halt);
                if place == 1 {
                    let cancelled = cancelled.load(Ordering::Relaxed);
                    assert_eq!(outcome == WaitOutcome::Cancelled, cancelled, "round {round}");
                }
                let state = rundown.state();
                let expected = match outcome {
                    WaitOutcome::Cancelled => State::Open,
                    WaitOutcome::Drained => State::Drained,
                    WaitOutcome::IllegalContext => unreachable!("in a thread"),
                };
                assert_eq!(state, expected, "round {round}");
            }
        });
        let open = rundown.state() == State::Open;
        assert_eq!(open, cancelled.into_inner(), "round {round}");
    }
}

/// Every CPU uses, closes, cancels and re-opens as it likes. Nothing hangs, and in the end all is
/// counted.
fn closers_and_cancellers_on_all_cpus<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    const STEPS: u64 = 200;
    let rundown = new();
    let grants = PerCpu::new(|| AtomicU64::new(0));
    let cancels = AtomicUsize::new(0);
    smp::run_on_each(&|me| {
        for step in 0..STEPS {
            let guard = rundown.try_acquire();
            if guard.is_some() {
                grants[me].fetch_add(1, Ordering::Relaxed);
            }
            match (step + me.get() as u64) % 4 {
                0 => {
                    rundown.close();
                    // Unless another CPU is faster, or has closed it before the guard was taken.
                    if step % 8 < 4 && rundown.cancel().is_ok() {
                        cancels.fetch_add(1, Ordering::Relaxed);
                    }
                }
                1 | 2 => {
                    if rundown.cancel().is_ok() {
                        cancels.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ => {
                    // Who closed last waits for all guards but this CPU's own: not here.
                    drop(guard);
                    let _ = rundown.wait(&Halt);
                    // Another CPU may have been faster.
                    let _ = rundown.reinit();
                }
            }
        }
    });
    assert_eq!(rundown.racy_held(), 0);
    assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
    let granted: u64 = grants.iter().map(|n| n.load(Ordering::Relaxed)).sum();
    assert!(granted > 0, "nothing was ever granted");
    assert!(cancels.load(Ordering::Relaxed) > 0, "nothing was cancelled");
}
