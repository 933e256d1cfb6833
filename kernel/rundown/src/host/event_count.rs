//! Sleep and wake-up of [`Park`](crate::Park): a count of events that can be waited for, and that costs
//! one fence and one load where nothing waits.
//!
//! A waiter *listens* (it counts itself among the listeners), then looks, then sleeps until the next
//! event. A wake-up counts an event if there are listeners. (The same thing is called an eventcount: Reed
//! and Kanodia, "Synchronization with Eventcounts and Sequencers", 1979.) Why none is lost:
//!
//! - The waiter counts itself, passes a `SeqCst` fence, and looks. The waker writes what the waiter looks
//!   for, passes a `SeqCst` fence, and reads the number of listeners. One of the two fences comes first: either
//!   the look sees what was written, or the waker finds a listener.
//! - In the second case it counts an event under the lock. A waiter that has read the count of events
//!   before finds another one when it is about to sleep, under the same lock; one that reads it later
//!   looks later than the write, which the lock makes visible.
//!
//! `tests/loom_park.rs` has models of this file; it needs nothing of the crate but `primitive`.

use core::time::Duration;

#[cfg(rundown_loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(rundown_loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::primitive::{AtomicUsize, Ordering, const_unless_model, fence};

pub(crate) struct EventCount {
    /// How many waiters may look or sleep.
    listeners: AtomicUsize,
    events: Mutex<u64>,
    happened: Condvar,
}

impl EventCount {
    const_unless_model! {
        pub(crate) fn new() -> Self {
            Self {
                listeners: AtomicUsize::new(0),
                events: Mutex::new(0),
                happened: Condvar::new(),
            }
        }
    }

    /// Makes every waiter look again that may have looked too early to see what the caller did before.
    ///
    /// Begins with a `SeqCst` fence, on which the caller may build. Takes a lock only if there is a
    /// listener.
    pub(crate) fn signal(&self) {
        // SeqCst: pairs with the fence in `wait_until`, see the top.
        fence(Ordering::SeqCst);
        // Relaxed: pairs with the count in `wait_until`, by way of the fences.
        if self.listeners.load(Ordering::Relaxed) != 0 {
            self.count_an_event();
        }
    }

    #[cold]
    fn count_an_event(&self) {
        *self.lock() += 1;
        self.happened.notify_all();
    }

    /// Returns once `ready` has returned `true`. Asks it first, after each [`signal`](Self::signal),
    /// and when no time is `left`.
    pub(crate) fn wait_until(&self, ready: &mut dyn FnMut() -> bool, left: impl Fn() -> Duration) {
        // Relaxed: pairs with the load in `signal`, by way of the fences.
        self.listeners.fetch_add(1, Ordering::Relaxed);
        let _listener = Listener(self);
        // SeqCst: pairs with the fence in `signal`, see the top.
        fence(Ordering::SeqCst);
        loop {
            let heard = *self.lock();
            if ready() {
                return;
            }
            self.sleep_unless_after(heard, &left);
        }
    }

    /// Sleeps until there are other events than those that were `heard`, or no time is `left`.
    fn sleep_unless_after(&self, heard: u64, left: impl Fn() -> Duration) {
        let mut events = self.lock();
        while *events == heard {
            let left = left();
            if left.is_zero() {
                return;
            }
            // (If that is more than the system can count, the library sleeps without a limit.)
            let slept = self.happened.wait_timeout(events, left);
            events = slept.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // The count is right after every step, so a panic elsewhere means nothing here.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the listening, also when `ready` panics.
struct Listener<'a>(&'a EventCount);

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        // Relaxed: pairs with nothing; a waker that still counts this listener takes the lock in vain.
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(rundown_loom)))]
mod tests {
    use super::*;
    use core::cell::Cell;

    fn forever() -> Duration {
        Duration::MAX
    }

    #[test]
    fn it_listens_only_while_it_waits() {
        let count = EventCount::new();
        count.signal();
        assert_eq!(*count.lock(), 0, "nothing listens: nothing is counted");
        let mut asked = 0;
        count.wait_until(
            &mut || {
                asked += 1;
                // As if from another thread, between the look and the sleep.
                count.signal();
                asked == 3
            },
            forever,
        );
        assert_eq!((asked, *count.lock()), (3, 3));
        count.signal();
        assert_eq!(*count.lock(), 3, "nothing listens any more");
    }

    /// The time is up exactly when nothing is left of it: no sleep then, and not a look less.
    #[test]
    fn it_looks_when_no_time_is_left() {
        let count = EventCount::new();
        let (looks, left) = (Cell::new(0), Cell::new(2));
        count.wait_until(
            &mut || {
                looks.set(looks.get() + 1);
                left.get() == 0
            },
            || {
                left.set(left.get() - 1);
                Duration::from_nanos(left.get())
            },
        );
        assert_eq!((looks.get(), left.get()), (2, 0));
    }

    #[test]
    fn a_look_that_panics_listens_no_more() {
        let count = EventCount::new();
        let wait = || count.wait_until(&mut || panic!("as `ready` may"), forever);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait));
        assert!(panicked.is_err());
        assert_eq!(count.listeners.load(Ordering::Relaxed), 0);
    }
}
