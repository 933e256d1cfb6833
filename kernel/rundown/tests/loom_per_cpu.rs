//! Models of the per-CPU variant alone: sequences that restart, barriers, several objects closed by
//! one barrier. And that the models would notice a platform that does not keep its promises.
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use models::cpus::{self, Flaw};
use models::{LoomPlatform, Make, Sleep, Traits, models, on_cpu, release, release_there, spawn};
use rundown::{PerCpu, PerCpuPlatform, PerCpuRundown, Protected, Rundown, State, WaitOutcome};

models!(@variant per_cpu, super::LoomPlatform,
    every_grant_is_counted,
    every_release_is_counted,
    a_barrier_for_another_object_changes_no_count,
    a_handler_in_the_middle_of_a_sequence bound: 3,
    a_release_and_an_acquire_on_one_cpu,
    one_barrier_closes_two_objects bound: 5,
    two_batches_sum_each_object_once bound: 5,
    a_batch_against_a_close,
    a_batch_against_a_cancel_and_a_close,
    a_second_generation_counts_from_zero,
);

fn every_grant_is_counted<P: PerCpuPlatform>() {
    let rundown = Arc::new(PerCpuRundown::<P>::new().unwrap());
    let user = spawn(&rundown, |rundown| {
        on_cpu(1);
        rundown.acquire().is_ok()
    });
    rundown.close();
    let held = user.join().unwrap();
    assert_eq!(rundown.is_drained(), !held, "a grant is not counted");
}

fn every_release_is_counted<P: PerCpuPlatform>() {
    let rundown = Arc::new(PerCpuRundown::<P>::new().unwrap());
    rundown.acquire().unwrap();
    let user = spawn(&rundown, release_there);
    rundown.close();
    user.join().unwrap();
    assert!(rundown.is_drained(), "a release is not counted");
}

/// A restart adds once: not twice, and not never.
fn a_barrier_for_another_object_changes_no_count<P: PerCpuPlatform>() {
    let [object, other] = [(); 2].map(|()| Arc::new(PerCpuRundown::<P>::new().unwrap()));
    let user = spawn(&object, |object| {
        on_cpu(1);
        object.acquire_many(3).unwrap();
        // SAFETY: two of the three.
        unsafe { object.release_many(2) };
    });
    other.close();
    user.join().unwrap();
    assert_eq!(object.racy_counts().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(other.state(), State::Drained);
}

/// It takes protection and gives it back on top of code that may be taking it.
fn a_handler_in_the_middle_of_a_sequence<P: PerCpuPlatform>() {
    let object = Arc::new(Protected::new(<PerCpu<P> as Make>::new(), 7));
    let on_one_cpu = [false, true].map(|is_handler| {
        spawn(&object, move |object| {
            on_cpu(1);
            if is_handler {
                cpus::interrupt(1);
            }
            if let Some(guard) = object.try_acquire() {
                assert_eq!(*guard, 7);
            }
        })
    });
    assert_eq!(object.run_down(&Sleep), Ok(7));
    for thread in on_one_cpu {
        thread.join().unwrap();
    }
}

/// The counter has both the one's subtraction and the other's addition.
fn a_release_and_an_acquire_on_one_cpu<P: PerCpuPlatform>() {
    let rundown = Arc::new(PerCpuRundown::<P>::new().unwrap());
    rundown.acquire().unwrap();
    let other = spawn(&rundown, |rundown| rundown.acquire().is_ok());
    release(&rundown);
    rundown.close();
    let held = other.join().unwrap();
    assert_eq!(rundown.racy_held(), i64::from(held));
    assert_eq!(rundown.is_drained(), !held);
}

/// The values that two objects guard, one each.
type Pair<P> = [(PerCpuRundown<P>, UnsafeCell<u32>); 2];

fn pair<P: PerCpuPlatform>() -> Arc<Pair<P>> {
    Arc::new([(); 2].map(|()| (PerCpuRundown::new().unwrap(), UnsafeCell::new(0))))
}

fn one_barrier_closes_two_objects<P: PerCpuPlatform>() {
    let pair = pair::<P>();
    let user = spawn(&pair, |pair| {
        on_cpu(1);
        for (rundown, value) in pair {
            if let Some(_guard) = rundown.try_acquire() {
                // SAFETY: the only user; the owner waits.
                value.with_mut(|value| unsafe { *value = 1 });
            }
        }
    });
    let [first, second] = &*pair;
    // One of them twice: no harm.
    Rundown::close_all(&mut [&first.0, &second.0, &first.0]).unwrap();
    assert_eq!(cpus::barriers(), 1);
    for (rundown, value) in &*pair {
        assert!(rundown.try_acquire().is_none());
        assert_eq!(rundown.wait(&Sleep), WaitOutcome::Drained);
        // SAFETY: drained.
        value.with(|value| assert!(unsafe { *value } <= 1));
    }
    Rundown::close_all(&mut [&first.0, &second.0]).unwrap();
    assert_eq!(cpus::barriers(), 1, "nothing was open");
    user.join().unwrap();
}

/// Whichever of them closes an object also sums it, once.
fn two_batches_sum_each_object_once<P: PerCpuPlatform>() {
    a_batch_against::<P>(|[first, second]| {
        Rundown::close_all(&mut [&second.0, &first.0]).unwrap();
    });
}

fn a_batch_against_a_close<P: PerCpuPlatform>() {
    a_batch_against::<P>(|[_, second]| _ = second.0.close());
}

/// The other opens an object that this batch has closed and summed, and closes it again before the
/// batch ends: that closing is not the batch's to sum.
fn a_batch_against_a_cancel_and_a_close<P: PerCpuPlatform>() {
    a_batch_against::<P>(|[first, _]| {
        if first.0.cancel().is_ok() {
            first.0.close();
        }
    });
}

/// One is held of each, and both are closed in the end. One of them is in the batch twice.
fn a_batch_against<P: PerCpuPlatform>(other: fn(&Pair<P>)) {
    let pair = pair::<P>();
    for (rundown, _) in &*pair {
        rundown.acquire().unwrap();
    }
    let other = spawn(&pair, move |pair| {
        on_cpu(1);
        other(pair);
    });
    Rundown::close_all(&mut [&pair[0].0, &pair[1].0, &pair[0].0]).unwrap();
    other.join().unwrap();
    for (rundown, _) in &*pair {
        let counted = (rundown.state(), rundown.racy_held());
        assert_eq!(counted, (State::Draining, 1));
        release(rundown);
        assert_eq!(rundown.state(), State::Drained);
    }
}

/// One was released late, so the counters of the first generation add up to one. A grant
/// in the second counts from zero, and is not reset afterwards.
fn a_second_generation_counts_from_zero<P: PerCpuPlatform>() {
    let rundown = Arc::new(PerCpuRundown::<P>::new().unwrap());
    on_cpu(1);
    rundown.acquire().unwrap();
    rundown.close();
    release(&rundown);
    on_cpu(0);
    let user = spawn(&rundown, |rundown| {
        on_cpu(1);
        rundown.acquire().is_ok()
    });
    rundown.reinit().unwrap();
    let held = user.join().unwrap();
    rundown.close();
    assert_eq!(rundown.racy_held(), i64::from(held));
    assert_eq!(rundown.is_drained(), !held);
}

/// Models of a platform with a flaw, which they must notice.
macro_rules! controls {
    ($($control:ident: $flaw:expr),* $(,)?) => { $(
        mod $control {
            use super::*;

            struct Flawed;

            impl Traits for Flawed {
                const FLAW: Flaw = $flaw;
            }

            #[test]
            #[should_panic(expected = "a grant is not counted")]
            fn loses_a_grant() {
                loom::model(every_grant_is_counted::<LoomPlatform<Flawed>>);
            }

            #[test]
            #[should_panic(expected = "a release is not counted")]
            fn loses_a_release() {
                loom::model(every_release_is_counted::<LoomPlatform<Flawed>>);
            }
        }
    )* };
}

controls!(
    a_platform_that_does_not_restart: Flaw::DoesNotRestart,
    a_barrier_that_skips_a_cpu: Flaw::Skips(1),
    an_acknowledgement_before_the_interrupt: Flaw::AcknowledgesEarly(1),
);
