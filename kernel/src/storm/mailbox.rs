//! How a protection gets to another CPU.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::interrupts;

/// A few things for one CPU, put in by any CPU. Nothing blocks: a mailbox that is full or in
/// somebody else's hands refuses, since a holder may be a virtual CPU that is not running.
pub(super) struct Mailbox<T> {
    places: spin::Mutex<[Option<T>; PLACES]>,
    /// How many are in it: a hint, so that looking into an empty mailbox takes no lock.
    count: AtomicUsize,
}

/// Room for bursts; the owner empties its mailbox after every batch and on every tick.
const PLACES: usize = 4;

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        Self {
            places: spin::Mutex::new([const { None }; PLACES]),
            count: AtomicUsize::new(0),
        }
    }

    /// Puts something in, or gives it back. Any CPU, any context but NMI.
    pub(super) fn put(&self, thing: T) -> Result<(), T> {
        // With interrupts off, so that a handler on this CPU never finds the lock taken below it.
        interrupts::without(|| {
            let Some(mut places) = self.places.try_lock() else {
                return Err(thing);
            };
            let Some(place) = places.iter_mut().find(|place| place.is_none()) else {
                return Err(thing);
            };
            *place = Some(thing);
            self.count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Takes something out. `None` if there is nothing, or if somebody is putting something in just
    /// now: look again later. Any CPU, any context but NMI.
    pub(super) fn take(&self) -> Option<T> {
        // Relaxed: a hint; the lock orders the things themselves.
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        interrupts::without(|| {
            let mut places = self.places.try_lock()?;
            let thing = places.iter_mut().find_map(Option::take)?;
            self.count.fetch_sub(1, Ordering::Relaxed);
            Some(thing)
        })
    }
}
