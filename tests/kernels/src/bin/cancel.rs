//! A drain is cancelled while other CPUs hold, wait, or release (S10).
#![no_std]
#![no_main]

extern crate alloc;

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use kernel::platform::{Halt, KernelPlatform};
use kernel::{Machine, cpu, smp};
use protocol::exit::ExitCode;
use rundown::{Protected, RunDownError, Rundown, State, Variant, WaitOutcome};
use test_kernels::{Barrier, PerCpu, Tracked, after, task};

kernel::main!(run);

fn run(machine: &'static Machine) -> ExitCode {
    kernel::testing::run(
        machine,
        test_kernels::for_every_variant![
            what_is_held_survives_and_counts_in_the_next_drain,
            waiters_on_other_cpus_learn_it,
            a_cancel_and_the_last_release_have_one_winner,
            closers_and_cancellers_on_all_cpus,
            an_owner_without_patience_tries_again,
        ],
    )
}

/// Every CPU takes guards before and after a drain that is cancelled. The real drain waits for all of
/// them.
fn what_is_held_survives_and_counts_in_the_next_drain<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    let rundown = new();
    assert!(rundown.cancel().is_err(), "cancelled although open");
    let step = Barrier::for_all();
    let released = AtomicUsize::new(0);
    smp::run_on_each(&|me| {
        let owner = me.get() == 0;
        let before = rundown.try_acquire().expect("refused although open");
        step.wait();
        if owner {
            rundown.close();
            assert_eq!(rundown.state(), State::Draining);
        }
        step.wait();
        assert!(rundown.try_acquire().is_none(), "granted although closed");
        step.wait();
        if owner {
            assert!(rundown.cancel().is_ok());
            assert!(rundown.cancel().is_err(), "cancelled although open");
        }
        step.wait();
        let after = rundown.try_acquire().expect("refused although open again");
        step.wait();
        if owner {
            let held = 2 * cpu::count() as i64;
            assert_eq!(rundown.racy_held(), held);
            assert_eq!(rundown.try_wait().map_err(|missed| missed.held), Err(held));
        }
        step.wait();
        released.fetch_add(1, Ordering::Relaxed);
        drop(before);
        assert!(!rundown.is_drained(), "drained while a guard is out");
        step.wait();
        released.fetch_add(1, Ordering::Relaxed);
        drop(after);
        if owner {
            assert_eq!(rundown.wait(&Halt), WaitOutcome::Drained);
            let released = released.load(Ordering::Relaxed);
            assert_eq!(released, 2 * cpu::count(), "the wait ended early");
        }
    });
    let drained = rundown.cancel().map_err(|error| error.found);
    assert_eq!(drained, Err(State::Drained));
    assert!(rundown.complete().is_ok());
    let run_down = rundown.cancel().map_err(|error| error.found);
    assert_eq!(run_down, Err(State::RunDown));
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
                1 => drain
                    .wait_deadline(&Halt, after(Duration::from_secs(3600)))
                    .expect("in time"),
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
                    assert_eq!(
                        outcome == WaitOutcome::Cancelled,
                        cancelled,
                        "round {round}"
                    );
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
                    // Unless somebody else is faster, or has closed it before the guard was taken.
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
                    // Somebody else may have been faster.
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

/// What cancelling is for: an owner waits for a moment; if the users are too slow, it leaves the object
/// to them and tries later. Once they have stopped, it gets it.
fn an_owner_without_patience_tries_again<V: Variant<Platform = KernelPlatform>>(
    new: fn() -> Rundown<V>,
) {
    const TRIES: usize = 20;
    let object = Protected::new(new(), Tracked::new(9));
    let turn = AtomicUsize::new(0);
    let all_hold = Barrier::for_all();
    smp::run_on_each(&|me| {
        if me.get() > 0 {
            // Always holds one guard or the other, so that the object cannot drain.
            let mut guard = object.try_acquire().expect("refused although open");
            all_hold.wait();
            for next_turn in 1..=TRIES {
                Halt.until(&mut || turn.load(Ordering::Acquire) >= next_turn);
                if let Some(next) = object.try_acquire() {
                    guard = next;
                }
                assert_eq!(guard.touch(), 9);
            }
            return;
        }
        let own = object.try_acquire();
        all_hold.wait();
        for next_turn in 1..=TRIES {
            let soon = after(Duration::from_micros(100));
            match object.begin_run_down().wait_deadline(&Halt, soon) {
                Err(RunDownError::Outstanding(outstanding)) => {
                    assert!(outstanding.held > 0, "{outstanding}");
                }
                other => panic!("the object is in use: {:?}", other.map(|_| ())),
            }
            assert!(object.cancel().is_ok());
            turn.store(next_turn, Ordering::Release);
            KernelPlatform::wake_all();
        }
        drop(own);
    });
    let value = object.run_down(&Halt).expect("nobody else runs it down");
    assert_eq!(value.touch(), 9);
}
