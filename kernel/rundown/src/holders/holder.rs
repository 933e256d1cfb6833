//! One line of the list: [`Holder`].

use core::fmt;
use core::panic::Location;

use crate::ids::Tag;

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
    /// What it was [taken under](crate::Rundown::acquire_tagged).
    pub tag: Tag,
}

/// One line, without its end.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.raw { " without a guard" } else { "" };
        write!(
            f,
            "{} held since tick {} on CPU {}, taken{how} at {}",
            self.count, self.tick, self.cpu, self.location
        )?;
        match self.tag {
            Tag::NONE => Ok(()),
            tag => write!(f, " under tag {tag}"),
        }
    }
}
