//! A spin lock for the tables of wakers and the list of restart tables, or loom's mutex in a model.

#[cfg(rundown_loom)]
pub(crate) use self::model::Lock;
#[cfg(not(rundown_loom))]
pub(crate) use self::native::Lock;

#[cfg(not(rundown_loom))]
mod native {
    use core::cell::UnsafeCell;
    use core::hint::spin_loop;
    use core::sync::atomic::{AtomicBool, Ordering};

    /// Test and test-and-set. Held for a walk through one bucket, or for a change of the list and the
    /// look-ups that may have seen the list before; never while foreign code runs.
    pub(crate) struct Lock<T> {
        locked: AtomicBool,
        value: UnsafeCell<T>,
    }

    // SAFETY: the lock gives the value to one thread at a time.
    unsafe impl<T: Send> Sync for Lock<T> {}

    impl<T> Lock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self {
                locked: AtomicBool::new(false),
                value: UnsafeCell::new(value),
            }
        }

        /// Runs `work` with the value. `work` must not panic, nor lock the same lock.
        pub(crate) fn with<A>(&self, work: impl FnOnce(&mut T) -> A) -> A {
            // Acquire: pairs with the Release below; what the last holder did is visible. A failure
            // is followed by another try.
            while self
                .locked
                .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
            {
                // Relaxed: pairs with nothing, only the exchange counts.
                while self.locked.load(Ordering::Relaxed) {
                    spin_loop();
                }
            }
            // SAFETY: the flag was ours to set, so nothing else has the value until it is cleared.
            let answer = work(unsafe { &mut *self.value.get() });
            // Release: pairs with the Acquire above.
            self.locked.store(false, Ordering::Release);
            answer
        }
    }
}

#[cfg(rundown_loom)]
mod model {
    pub(crate) struct Lock<T>(loom::sync::Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn with<A>(&self, work: impl FnOnce(&mut T) -> A) -> A {
            work(&mut self.0.lock().unwrap())
        }
    }
}
