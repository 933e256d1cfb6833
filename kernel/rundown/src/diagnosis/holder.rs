//! One line of the list: [`Holder`].

use core::fmt;
use core::panic::Location;

use super::on::TABLE;
use crate::platform::ObjectId;

/// Protection that is held: one guard, or what is left of one acquire without a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The call that took it.
    pub location: &'static Location<'static>,
    /// The [hint](crate::Platform::cpu_hint) of the CPU that took it.
    pub cpu: usize,
    /// [When](crate::Platform::tick) it was taken.
    pub tick: u64,
    /// How many protections it is.
    pub count: u32,
    /// Whether it was taken without a guard.
    pub raw: bool,
}

/// One line, without its end.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.raw { " without a guard" } else { "" };
        write!(
            f,
            "{} held since tick {} on CPU {}, taken{how} at {}",
            self.count, self.tick, self.cpu, self.location
        )
    }
}

/// The holders of one object, in no particular order; from [`holders`](super::holders).
#[derive(Clone)]
pub struct Holders {
    object: ObjectId,
    next: usize,
}

impl Holders {
    pub(super) fn of(object: ObjectId) -> Self {
        Self { object, next: 0 }
    }
}

impl Iterator for Holders {
    type Item = Holder;

    fn next(&mut self) -> Option<Holder> {
        let (index, holder) = TABLE.find(self.object, self.next)?;
        self.next = index + 1;
        Some(holder)
    }
}

/// Lists those that are still to come.
impl fmt::Debug for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
