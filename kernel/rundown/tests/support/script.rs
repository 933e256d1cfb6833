//! Wait policies that a test writes the play for.

use std::cell::RefCell;

use rundown::{Wait, Waiting};

/// A closure as a wait policy.
pub(crate) struct Policy<F>(RefCell<F>);

pub(crate) fn policy<F: FnMut(Waiting, &mut dyn FnMut() -> bool)>(wait: F) -> Policy<F> {
    Policy(RefCell::new(wait))
}

impl<F: FnMut(Waiting, &mut dyn FnMut() -> bool)> Wait for Policy<F> {
    fn wait_until(&self, waiting: Waiting, ready: &mut dyn FnMut() -> bool) {
        (self.0.borrow_mut())(waiting, ready);
    }
}

/// A policy that must find the object not ready, does `then`, and must find it ready.
pub(crate) fn script(then: impl FnOnce()) -> impl Wait {
    let mut then = Some(then);
    policy(move |_, ready| {
        if let Some(then) = then.take() {
            assert!(!ready(), "ready too early");
            then();
        }
        assert!(ready(), "not ready although drained");
    })
}
