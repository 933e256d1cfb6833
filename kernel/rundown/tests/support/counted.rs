//! A completion that counts.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rundown::Completion;

/// A completion that counts its runs. It lives as long as the program, as `close_then` demands.
pub(crate) struct Counted {
    pub(crate) completion: Completion,
    runs: &'static AtomicUsize,
}

impl Counted {
    pub(crate) fn new() -> &'static Self {
        unsafe fn run(runs: *mut ()) {
            // SAFETY: leaked below.
            unsafe { &*runs.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
        }
        let runs: &'static AtomicUsize = Box::leak(Box::default());
        let context = ptr::from_ref(runs).cast_mut().cast();
        // SAFETY: any thread may count.
        let completion = unsafe { Completion::new(run, context) };
        Box::leak(Box::new(Self { completion, runs }))
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}
