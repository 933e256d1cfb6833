//! A function that a floor above sets and a floor below calls, in any context.

use core::{
    marker::PhantomData,
    mem, ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A function pointer `F`, or none. Any CPU, any context.
pub(crate) struct Hook<F = fn()>(AtomicPtr<()>, PhantomData<F>);

impl<F: Copy> Hook<F> {
    pub(crate) const fn none() -> Self {
        // As for function pointers, whose `None` is null.
        const { assert!(size_of::<Option<F>>() == size_of::<*mut ()>()) };
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    pub(crate) fn set(&self, function: Option<F>) {
        // SAFETY: the sizes are equal (checked in `none`), and any bytes make a raw pointer.
        let pointer = unsafe { mem::transmute_copy::<Option<F>, *mut ()>(&function) };
        // Release: pairs with the Acquire in `get`.
        self.0.store(pointer, Ordering::Release);
    }

    pub(crate) fn get(&self) -> Option<F> {
        // Acquire: pairs with the Release in `set`; all preparations for the function are visible.
        let function = self.0.load(Ordering::Acquire);
        // SAFETY: `set` made it of an `Option<F>`, or it is null, `None`: every `F` is a function
        // pointer.
        unsafe { mem::transmute_copy::<*mut (), Option<F>>(&function) }
    }
}
