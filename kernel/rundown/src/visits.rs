//! Visits that are waited for: [`Visits`], such as look-ups in a list that something is about to
//! leave. A visit may come at any time on any CPU, in an NMI, too, and on top of another visit. So
//! it takes no lock: it counts itself, does what it does, and counts itself off.
//!
//! # Why a wait misses none
//! The caller of [`wait`](Visits::wait) first changes what visits see. Then it waits until it has
//! found each of the two counts at zero, once, by an atomic add of zero. A visit counts
//!
//! - before that add: then it has counted itself off, too, or the count would not be zero; or
//! - after it: then it has acquired what the add released, and sees the change.
//!
//! One count would do for that. There are two so that the wait ends however many visits come: while
//! one count is awaited, new visits go to the other. (Linux's sleepable RCU,
//! `kernel/rcu/srcutree.c`, waits in this way for its readers.)

use crate::primitive::{AtomicUsize, Ordering};

pub(crate) struct Visits {
    /// How many are under way, on two sides.
    under_way: [AtomicUsize; 2],
    /// On which side the next visit counts itself.
    side: AtomicUsize,
}

/// A visit that has begun, and where it is counted.
#[must_use = "it is to be ended"]
pub(crate) struct Visit<'a>(&'a AtomicUsize);

impl Visits {
    const_unless_model! {
        pub(crate) fn new() -> Self {
            Self { under_way: array_of![AtomicUsize::new(0); 2], side: AtomicUsize::new(0) }
        }
    }

    /// Begins a visit. Any context.
    pub(crate) fn begin(&self) -> Visit<'_> {
        // Relaxed: pairs with nothing; either side will do.
        self.begin_on(self.side.load(Ordering::Relaxed))
    }

    /// The same on this side, where an old look at `side` may have led.
    pub(crate) fn begin_on(&self, side: usize) -> Visit<'_> {
        let under_way = &self.under_way[side];
        // Acquire: pairs with the add of zero in `wait`; behind that, the visit sees the change.
        under_way.fetch_add(1, Ordering::Acquire);
        Visit(under_way)
    }

    /// Returns when all visits are over that may have missed what the caller has changed. Calls
    /// `pause` between two looks. One call at a time: two could turn newcomers back and forth, so
    /// that neither count runs out.
    pub(crate) fn wait(&self, pause: impl Fn()) {
        for side in [0, 1] {
            // Relaxed: pairs with nothing; either side will do.
            self.side.store(1 - side, Ordering::Relaxed);
            // AcqRel: pairs with both operations of a visit: see the top. An add, since a load
            // could miss a visit that counted itself before, and would release nothing.
            while self.under_way[side].fetch_add(0, Ordering::AcqRel) > 0 {
                pause();
            }
        }
    }
}

impl Visit<'_> {
    /// Its last touch of the count.
    pub(crate) fn end(self) {
        // Release: pairs with the add of zero in `Visits::wait`, which sees what the visit did.
        self.0.fetch_sub(1, Ordering::Release);
    }
}
