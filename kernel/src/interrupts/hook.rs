//! A function to call in an interrupt, set at run time.

use core::sync::atomic::{AtomicUsize, Ordering};

/// A `fn()`, or none. Any CPU, any context.
#[derive(Debug)]
pub(crate) struct Hook(AtomicUsize);

impl Hook {
    pub(crate) const fn none() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn set(&self, function: Option<fn()>) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(
            function.map_or(0, |function| function as usize),
            Ordering::Release,
        );
    }

    pub(crate) fn get(&self) -> Option<fn()> {
        // Acquire: pairs with the Release in `set`; what was prepared for the function is visible
        // to it.
        let function = self.0.load(Ordering::Acquire);
        // SAFETY: 0 is `None` (a guarantee of `Option<fn()>`), and nothing but `Some(fn())` is ever
        // stored else.
        unsafe { core::mem::transmute::<usize, Option<fn()>>(function) }
    }
}
