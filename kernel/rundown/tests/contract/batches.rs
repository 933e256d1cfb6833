//! Batches of objects: of one that was released too often, the others are closed nevertheless.

use rundown::{Rundown, State};

use crate::support::{Make, for_every_variant, misuses, panic_of};

for_every_variant!(a_batch_is_closed_although_misuse_panics, a_batch_of_any_states,);

fn a_batch_is_closed_although_misuse_panics<R: Make + ?Sized>() {
    for bad in 0..4 {
        let objects: Vec<_> = (0..4).map(|_| R::make()).collect();
        // Which a close finds; in the plain variant the call itself.
        let _ = misuses(|| {
            // SAFETY: one too many: this is the misuse. The object guards nothing.
            unsafe { objects[bad].release() };
        });
        let guards: Vec<_> = objects[2..].iter().map(|object| object.acquire()).collect();
        assert_eq!(guards, [Ok(()), Ok(())]);
        let mut list: Vec<&Rundown<R>> = objects.iter().map(|object| &**object).collect();
        if R::PLAIN || bad >= 2 {
            // An acquire has made up for the surplus release since.
            assert_eq!(Rundown::close_all(&mut list), Ok(objects.len()));
        } else {
            let text = panic_of(|| _ = Rundown::close_all(&mut list));
            let object = objects[bad].id();
            let expected = format!("rundown: 1 released but 0 held, on the object at {object}");
            assert_eq!(text, expected);
        }
        for (index, object) in objects.iter().enumerate() {
            let held = index >= 2 && (R::PLAIN || index != bad);
            let state = if held { State::Draining } else { State::Drained };
            assert_eq!(object.state(), state, "object {index}, {bad} was released");
            assert!(object.try_acquire().is_none());
        }
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
    // The first of them twice.
    let [one, two, three, four, five] = list;
    assert_eq!(Rundown::close_all(&mut [two, one, three, one, four, five]), Ok(2));
    use State::{Drained, Draining, RunDown};
    let states = list.map(Rundown::state);
    assert_eq!(states, [Draining, Draining, Drained, RunDown, Drained]);
    drop((guard, draining));
    assert!(list.iter().all(|object| object.is_drained()));
}
