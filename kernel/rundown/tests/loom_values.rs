//! Models: a value goes in before the object opens (S9), and out before the next one; a lazy object
//! gets its counter before that.
#![cfg(rundown_loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use models::{LoomPlatform, Make, Sleep, check, models, on_cpu, release, release_there, spawn};
use rundown::{PerCpuRundown, Protected, RunDownError, State, WrongState};

models!(
    replace_against_an_acquire bound: 3,
    s9_publish_against_acquire,
    a_late_run_down_against_the_next_publication bound: 3,
    an_early_release_and_a_cancel_during_anothers_drain bound: 3,
);

/// A value that its owner writes before it is published, and again after it is taken out.
type Value = UnsafeCell<u32>;

/// The value that a user finds, if any.
fn used<R: Make>(object: &Protected<Value, R>) -> Option<u32> {
    let guard = object.try_acquire()?;
    // SAFETY: protected, so nothing writes it. Loom checks it.
    Some(guard.with(|value| unsafe { *value }))
}

/// Its owner's last write.
fn torn_down(value: Value) -> u32 {
    value.with_mut(|value| {
        // SAFETY: taken out, so nothing reads it. Loom checks it.
        let value = unsafe { &mut *value };
        std::mem::replace(value, 0)
    })
}

fn replace_against_an_acquire<R: Make>() {
    let object = Arc::new(Protected::<_, R>::new(R::new(), UnsafeCell::new(1)));
    let user = spawn(&object, |object| {
        on_cpu(1);
        used(object)
    });
    let old = object.replace(&Sleep, UnsafeCell::new(2)).unwrap();
    assert_eq!(torn_down(old), 1);
    assert!(matches!(user.join().unwrap(), None | Some(1 | 2)));
    assert_eq!(used(&object), Some(2));
}

/// An owner's token is of its own value.
fn a_late_run_down_against_the_next_publication<R: Make>() {
    let object = Arc::new(Protected::<_, R>::vacant(R::closed()));
    let generation = object.publish(UnsafeCell::new(1)).unwrap();
    let late = spawn(&object, move |object| {
        let retired = object.begin_run_down_of(generation).wait(&Sleep);
        retired.and_then(|retired| retired.take()).map(torn_down)
    });
    let mine = object.try_run_down().map(torn_down);
    let next = object.publish(UnsafeCell::new(2)).is_ok();
    let late = late.join().unwrap();
    assert!(matches!((mine, late), (Ok(1), Err(RunDownError::Taken)) | (Err(_), Ok(1))));
    if next {
        assert_eq!(used(&object), Some(2), "it has run down the next one");
    } else {
        assert_eq!(object.state(), State::RunDown);
    }
}

fn s9_publish_against_acquire<R: Make>() {
    let object = Arc::new(Protected::vacant(R::closed()));
    let user = spawn(&object, |object| {
        on_cpu(1);
        if let Some(guard) = object.try_acquire() {
            assert_eq!(*guard, 7);
        }
    });
    object.publish(7).unwrap();
    assert_eq!(object.run_down(&Sleep), Ok(7));
    user.join().unwrap();
}

/// While the slots are drained, an early release does not read as the whole count.
fn an_early_release_and_a_cancel_during_anothers_drain<R: Make>() {
    let rundown = Arc::new(R::new());
    rundown.acquire_many(2).unwrap();
    let closer = spawn(&rundown, |rundown| rundown.close());
    let user = spawn(&rundown, |rundown| {
        release_there(rundown);
        let state = rundown.state();
        assert!(
            matches!(state, State::Open | State::Closing | State::Draining),
            "{state}: one is held"
        );
        rundown.cancel()
    });
    closer.join().unwrap();
    let cancelled = match user.join().unwrap() {
        Ok(_) => true,
        Err(WrongState { found }) => {
            assert!(matches!(found, State::Open | State::Closing), "{found}");
            false
        }
    };
    assert_eq!(rundown.state() == State::Open, cancelled);
    assert_eq!(rundown.racy_held(), 1);
    release(&rundown);
    rundown.close();
    assert_eq!(rundown.state(), State::Drained);
}

/// A user that finds it open finds its counter, and that counts from zero.
#[test]
fn a_lazy_object_opens_against_an_acquire() {
    loom::model(|| {
        let object = Arc::new(PerCpuRundown::<LoomPlatform>::lazy());
        let user = spawn(&object, |object| {
            on_cpu(1);
            object.acquire().is_ok()
        });
        object.open().unwrap();
        object.close();
        let held = user.join().unwrap();
        assert_eq!(object.racy_held(), i64::from(held));
        assert_eq!(object.is_drained(), !held);
    });
}

/// One of two counters becomes the object's only one; the other is free again.
#[test]
fn two_prepare_a_lazy_object() {
    check(Some(3), || {
        let object = Arc::new(PerCpuRundown::<LoomPlatform>::lazy());
        let other = spawn(&object, |object| {
            on_cpu(1);
            object.prepare().unwrap();
            (object.open().is_ok(), object.acquire().is_ok())
        });
        object.prepare().unwrap();
        let opened = object.open().is_ok();
        let (opened_there, held) = other.join().unwrap();
        assert!(opened != opened_there, "one opens it");
        assert_eq!(object.racy_held(), i64::from(held));
        // Two counters there are: one is the object's.
        let [second, third] = [(); 2].map(|()| PerCpuRundown::<LoomPlatform>::new());
        assert!(second.is_ok() && third.is_err());
        object.close();
        assert_eq!(object.is_drained(), !held);
    });
}
