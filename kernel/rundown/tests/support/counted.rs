//! A completion that counts.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use rundown::Completion;

/// A completion that counts its runs, and does something else each time.
pub(crate) struct Counted {
    pub(crate) completion: Completion,
    runs: &'static AtomicUsize,
}

impl Counted {
    pub(crate) fn new() -> &'static Self {
        Self::and(|| {})
    }

    /// Lives as long as the program, as `close_then` demands.
    pub(crate) fn and(then: impl Fn() + 'static) -> &'static Self {
        struct Context<F> {
            runs: AtomicUsize,
            then: F,
        }
        unsafe fn run<F: Fn() + 'static>(context: *mut ()) {
            // SAFETY: leaked below, and only read.
            let context = unsafe { &*context.cast::<Context<F>>() };
            context.runs.fetch_add(1, Ordering::Relaxed);
            (context.then)();
        }
        fn leaked<F: Fn() + 'static>(then: F) -> Counted {
            let runs = AtomicUsize::new(0);
            let context: &'static Context<F> = Box::leak(Box::new(Context { runs, then }));
            let pointer = ptr::from_ref(context).cast_mut().cast();
            // SAFETY: it runs on the threads of one test, one after the other.
            let completion = unsafe { Completion::new(run::<F>, pointer) };
            Counted { completion, runs: &context.runs }
        }
        Box::leak(Box::new(leaked(then)))
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    pub(crate) fn is(&self, given_back: Option<NonNull<Completion>>) -> bool {
        given_back == Some(NonNull::from(&self.completion))
    }
}
