//! Net counts per slot, for people to read: [`RacyCounts`].

use core::ops::Range;
use core::{fmt, slice};

use crate::counter_id::CounterId;
use crate::slot::{Capacity, Slot};

/// The net count of each slot, in order; from
/// [`Rundown::racy_counts`](crate::Rundown::racy_counts).
#[derive(Clone)]
pub struct RacyCounts<'a>(Source<'a>);

#[derive(Clone)]
enum Source<'a> {
    One(Option<i64>),
    Slots(slice::Iter<'a, Slot>, Capacity),
    PerCpu {
        /// Safe to call with this counter and these CPUs: see [`RacyCounts::per_cpu`].
        read: unsafe fn(CounterId, usize) -> i64,
        counter: CounterId,
        cpus: Range<usize>,
    },
}

impl<'a> RacyCounts<'a> {
    pub(crate) fn one(count: i64) -> Self {
        Self(Source::One(Some(count)))
    }

    /// Of an object that has no counter as yet.
    pub(crate) fn none() -> Self {
        Self(Source::One(None))
    }

    /// # Safety
    /// For as long as `'a`, `read` may be called with this counter and so many CPUs.
    pub(crate) unsafe fn per_cpu(
        read: unsafe fn(CounterId, usize) -> i64,
        counter: CounterId,
        cpus: usize,
    ) -> Self {
        Self(Source::PerCpu {
            read,
            counter,
            cpus: 0..cpus,
        })
    }

    pub(crate) fn of(slots: &'a [Slot], capacity: Capacity) -> Self {
        Self(Source::Slots(slots.iter(), capacity))
    }
}

impl Iterator for RacyCounts<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        match &mut self.0 {
            Source::One(count) => count.take(),
            Source::Slots(slots, capacity) => slots.next().map(|slot| slot.racy_count(*capacity)),
            Source::PerCpu {
                read,
                counter,
                cpus,
            } => cpus.next().map(|cpu| {
                // SAFETY: as promised to `per_cpu`.
                unsafe { read(*counter, cpu) }
            }),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::One(count) => usize::from(count.is_some()),
            Source::Slots(slots, _) => slots.len(),
            Source::PerCpu { cpus, .. } => cpus.len(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for RacyCounts<'_> {}

/// Lists those that are not zero, by slot: `{1: 2, 7: -1}`.
impl fmt::Debug for RacyCounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.clone().enumerate().filter(|&(_, count)| count != 0))
            .finish()
    }
}
