//! The name of a per-CPU counter: [`CounterId`].

use crate::impls::display;

/// The name of a counter: the same for all CPUs. What the number means (an offset, an address) is
/// up to the platform; `usize::MAX` names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterId(usize);

impl CounterId {
    /// The counter that the platform calls `id`.
    pub const fn new(id: usize) -> Self {
        Self(id)
    }

    /// What the platform calls it.
    #[inline]
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Why there is no per-CPU counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unavailable {
    /// All of them are in use: this many.
    Exhausted(usize),
    /// The system does not have what they need: what, and what to do about it.
    Unsupported(&'static str),
}

display! { error Unavailable:
    Self::Exhausted(counters) => "all {counters} per-CPU counters are in use",
    Self::Unsupported(why) => "no per-CPU counters here: {why}",
}
