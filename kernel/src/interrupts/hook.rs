//! A function to call in an interrupt, set at run time.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A `fn()`, or none. Any CPU, any context.
#[derive(Debug)]
pub(crate) struct Hook(AtomicPtr<()>);

impl Hook {
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn set(&self, function: Option<fn()>) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(
            function.map_or(ptr::null_mut(), |function| function as *mut ()),
            Ordering::Release,
        );
    }

    pub(crate) fn get(&self) -> Option<fn()> {
        // Acquire: pairs with the Release in `set`; what was prepared for the function is visible
        // to it.
        let function = self.0.load(Ordering::Acquire);
        // SAFETY: null is `None` (a guarantee of `Option<fn()>`), and nothing else but a `fn()` is ever
        // stored.
        unsafe { core::mem::transmute::<*mut (), Option<fn()>>(function) }
    }
}
