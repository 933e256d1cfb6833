//! Closing many objects with one barrier.

use crate::lifecycle::{INSIDE, Kind, close, shut};
use crate::primitive::{AtomicUsize, Ordering, const_unless_model};

/// Closes those of the objects that are open, with one barrier for all.
pub(crate) fn close_all<K: Kind + ?Sized>(objects: &[&K]) {
    // What identifies this call while it lasts: the address of something of its own.
    let call = (&raw const objects).addr();
    let mut marked = 0_usize;
    for object in objects {
        match object.closer() {
            None => drop(close(*object)),
            Some(closer) => {
                if shut(*object).is_ok() {
                    closer.mark(call);
                    marked += 1;
                }
            }
        }
    }
    if marked > 0 {
        K::barrier(INSIDE);
        Sweeps { objects, call }.run();
    }
}

/// The second half of [`close_all`]. Goes on if a sweep panics, since no one else will do the rest.
struct Sweeps<'a, 'b, K: Kind + ?Sized> {
    /// Those that are left.
    objects: &'a [&'b K],
    call: usize,
}

impl<K: Kind + ?Sized> Sweeps<'_, '_, K> {
    fn run(&mut self) {
        while let Some((object, rest)) = self.objects.split_first() {
            self.objects = rest;
            if object
                .closer()
                .is_some_and(|closer| closer.unmark(self.call))
            {
                object.sweep(INSIDE);
            }
        }
    }
}

impl<K: Kind + ?Sized> Drop for Sweeps<'_, '_, K> {
    fn drop(&mut self) {
        self.run();
    }
}

/// Which [`close_all`] has closed the object and is about to sweep it. Only who has closed it writes
/// here.
pub struct Closer(AtomicUsize);

impl Closer {
    const NOBODY: usize = 0;

    const_unless_model! {
        pub(crate) fn new() -> Self {
            Self(AtomicUsize::new(Self::NOBODY))
        }
    }

    fn mark(&self, call: usize) {
        // Relaxed: pairs with nothing; only the same thread will find its own mark. Others may
        // read it, and see that it is not theirs.
        self.0.store(call, Ordering::Relaxed);
    }

    /// Whether the mark was this call's, that is to say the caller's own. It is no more.
    fn unmark(&self, call: usize) -> bool {
        // Relaxed: pairs with nothing, see `mark`.
        let mine = self.0.load(Ordering::Relaxed) == call;
        if mine {
            // Relaxed: pairs with nothing, as above.
            self.0.store(Self::NOBODY, Ordering::Relaxed);
        }
        mine
    }
}
