//! The atomics and the cell that the protocol is built on: `core`'s, or loom's in a model, or those
//! of the package `rundown-traced`, whose accesses are counted; and a spin lock.
//!
//! Loom's atomics cannot be made in a constant, so constructors go through `const_unless_model!`.

#[cfg(not(any(rundown_loom, rundown_trace)))]
pub(crate) use self::native::{AtomicI64, AtomicU64, AtomicUsize};
#[cfg(not(rundown_loom))]
pub(crate) use self::native::{AtomicPtr, Lock, Ordering, UnsafeCell, fence, spin_loop};
#[cfg(rundown_loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(rundown_trace)]
pub(crate) use traced_atomics::{AtomicI64, AtomicU64, AtomicUsize};

#[cfg(not(rundown_loom))]
mod native {
    pub(crate) use core::hint::spin_loop;
    use core::sync::atomic::AtomicBool;
    #[cfg(not(rundown_trace))]
    pub(crate) use core::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};
    // The pointer is not counted in a trace: it is only where a completion is left.
    pub(crate) use core::sync::atomic::{AtomicPtr, Ordering, fence};

    /// [`core::cell::UnsafeCell`] with loom's way of reaching the value, by closures.
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<A>(&self, read: impl FnOnce(*const T) -> A) -> A {
            read(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<A>(&self, write: impl FnOnce(*mut T) -> A) -> A {
            write(self.0.get())
        }
    }

    /// For the tables of wakers and the list of restart tables. Held for a change of one, and for
    /// look-ups that saw the list before; never while foreign code runs.
    pub(crate) struct Lock<T> {
        locked: AtomicBool,
        value: UnsafeCell<T>,
    }

    // SAFETY: the lock gives the value to one thread at a time.
    unsafe impl<T: Send> Sync for Lock<T> {}

    impl<T> Lock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }

        /// Runs `work` with the value. `work` must not panic, nor lock the same lock.
        pub(crate) fn with<A>(&self, work: impl FnOnce(&mut T) -> A) -> A {
            // Test and test-and-set. Acquire: pairs with the Release below; all that the last
            // holder did is visible. A failure is followed by another try.
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
            let answer = self.value.with_mut(|value| work(unsafe { &mut *value }));
            // Release: pairs with the Acquire above.
            self.locked.store(false, Ordering::Release);
            answer
        }
    }
}

/// In a model.
#[cfg(rundown_loom)]
pub(crate) struct Lock<T>(loom::sync::Mutex<T>);

#[cfg(rundown_loom)]
impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn with<A>(&self, work: impl FnOnce(&mut T) -> A) -> A {
        work(&mut self.0.lock().unwrap())
    }
}
