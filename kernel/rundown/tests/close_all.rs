//! A batch of objects of which one was released too often: the others are closed nevertheless.
#![cfg(not(rundown_loom))]

mod support;

use rundown::{Rundown, State};
use support::{Make, for_every_variant, misuses, panic_of};

for_every_variant!(
    a_batch_is_closed_although_misuse_panics,
    a_batch_is_closed_although_misuse_is_found,
    a_batch_of_any_states,
    one_object_many_times,
);

/// One too many was released on it, which a close finds; in the plain variant the call itself.
fn released_too_often<R: Make + ?Sized>() -> Box<Rundown<R>> {
    let rundown = R::make();
    let _ = misuses(|| {
        // SAFETY: one too many: this is the misuse. The object guards nothing.
        unsafe { rundown.release() };
    });
    rundown
}

fn a_batch_is_closed_although_misuse_panics<R: Make + ?Sized>() {
    for bad in 0..4 {
        let objects: Vec<_> = (0..4)
            .map(|index| if index == bad { released_too_often::<R>() } else { R::make() })
            .collect();
        let guards: Vec<_> = objects[2..].iter().map(|object| object.acquire()).collect();
        assert_eq!(guards, [Ok(()), Ok(())]);
        let mut list: Vec<&Rundown<R>> = objects.iter().map(|object| &**object).collect();
        if R::PLAIN || bad >= 2 {
            // What was released too often has been acquired since.
            assert_eq!(Rundown::close_all(&mut list), Ok(objects.len()));
        } else {
            let text = panic_of(|| _ = Rundown::close_all(&mut list));
            assert!(text.contains("released but 0 held"), "{text}");
        }
        for (index, object) in objects.iter().enumerate() {
            let held = index >= 2 && (R::PLAIN || index != bad);
            let state = if held { State::Draining } else { State::Drained };
            assert_eq!(object.state(), state, "object {index}, {bad} was released");
            assert!(object.try_acquire().is_none());
        }
    }
}

fn a_batch_is_closed_although_misuse_is_found<R: Make + ?Sized>() {
    let objects = [released_too_often::<R>(), R::make(), released_too_often::<R>(), R::make()];
    let mut list = objects.each_ref().map(|object| &**object);
    let found = misuses(|| assert_eq!(Rundown::close_all(&mut list), Ok(4)));
    assert_eq!(found.len(), if R::PLAIN { 0 } else { 2 });
    for object in list {
        assert_eq!(object.state(), State::Drained);
    }
}

fn a_batch_of_any_states<R: Make + ?Sized>() {
    let objects = [(); 5].map(|()| R::make());
    let guard = objects[0].try_acquire();
    let draining = objects[1].try_acquire();
    objects[1].close();
    objects[2].close();
    objects[3].close();
    objects[3].complete().expect("drained");
    let list = objects.each_ref().map(|object| &**object);
    assert_eq!(Rundown::close_all(&mut list.clone()), Ok(2));
    use State::{Drained, Draining, RunDown};
    let states = list.map(Rundown::state);
    assert_eq!(states, [Draining, Draining, Drained, RunDown, Drained]);
    drop((guard, draining));
    assert!(list.iter().all(|object| object.is_drained()));
    // And once more, which changes nothing.
    assert_eq!(Rundown::close_all(&mut list.clone()), Ok(0));
    assert_eq!(list.map(Rundown::state)[3], RunDown);
}

fn one_object_many_times<R: Make + ?Sized>() {
    let object = R::make();
    let guard = object.try_acquire();
    assert_eq!(Rundown::close_all(&mut [&*object; 5]), Ok(1));
    assert_eq!((object.state(), object.racy_held()), (State::Draining, 1));
    drop(guard);
    assert!(object.is_drained());
}
