//! Which call of `close_all` has closed an object: [`Closer`].

use crate::primitive::{AtomicUsize, Ordering, const_unless_model};

/// Which call of [`close_all`](crate::Rundown::close_all) has closed the object and is about to count
/// what is held. Only the call that has closed it writes here.
pub struct Closer(AtomicUsize);

impl Closer {
    const NONE: usize = 0;

    const_unless_model! {
        pub(crate) fn new() -> Self {
            Self(AtomicUsize::new(Self::NONE))
        }
    }

    /// `call`: the address of something that is the call's own while it lasts.
    pub(crate) fn mark(&self, call: usize) {
        // Relaxed: pairs with nothing; only the same thread will find its own mark. Others may
        // read it, and see that it is not theirs.
        self.0.store(call, Ordering::Relaxed);
    }

    /// Takes the mark away if it is this call's.
    pub(crate) fn unmark(&self, call: usize) -> bool {
        // Relaxed: pairs with nothing, see `mark`.
        let mine = self.0.load(Ordering::Relaxed) == call;
        if mine {
            // Relaxed: pairs with nothing, as above.
            self.0.store(Self::NONE, Ordering::Relaxed);
        }
        mine
    }
}
