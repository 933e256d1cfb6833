//! Counters of the process, which serve one object after the other.

use rundown::Unavailable;

use crate::{Object, alone, object};

/// Each of them leaves counters that are not zero: its protections are released after the close.
#[test]
fn no_count_is_carried_over_to_the_next_object() {
    alone(|| {
        // Two at a time: their counters take turns.
        let mut last = None;
        for _ in 0..20_000 {
            let Some(object) = object() else {
                return;
            };
            assert!(object.racy_counts().all(|count| count == 0), "of an object before");
            object.acquire_many(3).expect("open");
            object.close();
            // SAFETY: acquired above.
            unsafe { object.release_many(3) };
            assert!(object.is_drained());
            last = Some(object);
        }
        drop(last);
    });
}

#[test]
fn counters_that_are_all_in_use_come_back() {
    alone(|| {
        let Some(first) = object() else {
            return;
        };
        let mut objects = vec![first];
        let exhausted = loop {
            assert!(objects.len() <= 1 << 19, "two of them have the same counter");
            match Object::new() {
                Ok(object) => objects.push(object),
                Err(why) => break why,
            }
        };
        assert_eq!(exhausted, Unavailable::Exhausted(objects.len()));
        drop(objects.swap_remove(objects.len() / 2));
        let object = Object::new().expect("one was dropped");
        object.acquire().expect("open");
        assert_eq!(object.racy_held(), 1);
        assert_eq!(Object::new().err(), Some(exhausted));
        // SAFETY: acquired above.
        unsafe { object.release() };
    });
}
