//! Operations of the image, interrupted at every instruction boundary.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use rundown::{CloseOutcome, State};
use test_image::SharedRundown;

use super::loaded::{IMAGE, Loaded};
use crate::single_step::steps::{TRACE, step};

/// The operation that is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Acquire,
    Release,
}

const OPERATIONS: [Operation; 2] = [Operation::Acquire, Operation::Release];

impl Operation {
    /// Performs it in the image, step by step up to the boundary with the number `place`, where
    /// `work` is done, and freely from there on. Returns whether it was granted, and the number of
    /// steps. Never inlined: the steps are to be the same in all runs.
    #[inline(never)]
    fn stepped(
        self,
        image: &Loaded,
        object: &SharedRundown,
        place: usize,
        work: &(dyn Fn() + Sync),
    ) -> (bool, usize) {
        let mut granted = true;
        let steps = step(place, work, || match self {
            Self::Acquire => granted = image.acquire(object),
            // SAFETY: taken by the caller.
            Self::Release => unsafe { image.release(object) },
        });
        (granted, steps)
    }

    /// A new object on which it can begin.
    fn object(self) -> SharedRundown {
        let object = SharedRundown::new().expect("a counter");
        if self == Self::Release {
            assert_eq!(object.acquire(), Ok(()));
        }
        object
    }

    /// The boundaries in the image's code: number, and whether it is in a sequence (is redirected).
    fn boundaries(self, image: &Loaded) -> Vec<(usize, bool)> {
        let object = self.object();
        let (granted, steps) = self.stepped(image, &object, usize::MAX, &|| {});
        assert!(granted);
        assert_eq!(object.racy_held(), i64::from(self == Self::Acquire));
        let boundary = |place: usize| {
            let [at, goes_on_at] = &TRACE[place];
            let (at, goes_on_at) = (at.load(Ordering::Relaxed), goes_on_at.load(Ordering::Relaxed));
            IMAGE.has_code_at(at).then_some((place, at != goes_on_at))
        };
        (0..steps).filter_map(boundary).collect()
    }

    /// Those inside the sequence, as the registered image shows them.
    fn inside(self) -> Vec<usize> {
        let boundaries = self.boundaries(&Loaded::new(true));
        let inside = boundaries.iter().filter(|(_, inside)| *inside);
        inside.map(|(place, _)| *place).collect()
    }
}

/// Three boundaries inside, behind test, jump and load, if the table is registered; none if not.
pub(crate) fn its_sequences_are_found() {
    for operation in OPERATIONS {
        let registered = Loaded::new(true);
        let boundaries = operation.boundaries(&registered);
        let restarts = registered.restarts();
        drop(registered);
        let inside = boundaries.iter().filter(|(_, inside)| *inside).count();
        assert_eq!((inside, restarts), (3, 3), "{operation:?}: {boundaries:?}");
        let unregistered = operation.boundaries(&Loaded::new(false));
        assert!(unregistered.iter().all(|(_, inside)| !inside));
        let places = |boundaries: &[(usize, bool)]| -> Vec<usize> {
            boundaries.iter().map(|(place, _)| *place).collect()
        };
        assert_eq!(places(&unregistered), places(&boundaries));
        kernel::log!("{operation:?}: {} boundaries in the image", boundaries.len());
    }
}

/// The object is closed at a boundary inside, by the handler that the boundary leads to, on the
/// same CPU. Then the operation finds it closed.
pub(crate) fn closed_inside_it_starts_again() {
    for operation in OPERATIONS {
        for place in operation.inside() {
            let image = Loaded::new(true);
            let (object, granted) = closed_at(operation, &image, place);
            let (held, state) = (object.racy_held(), object.state());
            match operation {
                Operation::Acquire => assert!(!granted, "granted although closed"),
                Operation::Release => assert_eq!(held, 0, "released late"),
            }
            assert_eq!(state, State::Drained, "{operation:?} at {place}: {held} held");
            assert_eq!(object.try_wait(), Ok(()));
        }
    }
}

/// The negative control: the same with an image whose table is not registered. The operation goes
/// on where it was, and counts where it is not seen any more.
pub(crate) fn unregistered_it_does_not() {
    for operation in OPERATIONS {
        let last = *operation.inside().last().expect("there are three");
        let image = Loaded::new(false);
        let (object, granted) = closed_at(operation, &image, last);
        match operation {
            Operation::Acquire => {
                assert!(granted, "refused: it has started again");
                assert_eq!(object.state(), State::Drained);
            }
            Operation::Release => {
                assert_eq!(object.state(), State::Draining, "released: it has started again");
                assert_eq!(object.racy_held(), 1, "for ever");
                // What the release should have done.
                // SAFETY: nothing else does.
                unsafe { object.release() };
                assert_eq!(object.try_wait(), Ok(()));
            }
        }
        // Its counter is off by one: cleared before another object gets it.
        object.reinit().expect("drained");
    }
}

/// The operation, with the object closed at this boundary. The object, and whether it was granted.
fn closed_at(operation: Operation, image: &Loaded, place: usize) -> (SharedRundown, bool) {
    let object = operation.object();
    let close = || assert_eq!(object.close(), CloseOutcome::Closed);
    let (granted, steps) = operation.stepped(image, &object, place, &close);
    assert_eq!(steps, place + 1, "it did not come to this boundary");
    (object, granted)
}
