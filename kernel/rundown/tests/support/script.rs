//! A wait policy that a test writes the play for.

use std::cell::Cell;

use rundown::{Wait, Waiting};

/// A wait policy that is a script: must find the object not ready, does `then`, must find it ready.
pub(crate) struct Script<F>(Cell<Option<F>>);

impl<F: FnOnce()> Script<F> {
    pub(crate) fn new(then: F) -> Self {
        Self(Cell::new(Some(then)))
    }

    /// Whether a waiter has played it.
    pub(crate) fn played(&self) -> bool {
        let then = self.0.take();
        let played = then.is_none();
        self.0.set(then);
        played
    }
}

impl<F: FnOnce()> Wait for Script<F> {
    fn wait_until(&self, _: Waiting, ready: &mut dyn FnMut() -> bool) {
        if let Some(then) = self.0.take() {
            assert!(!ready(), "ready too early");
            then();
        }
        assert!(ready(), "not ready although drained");
    }
}
