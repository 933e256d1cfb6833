//! What a protection without a guard is for: [`Tag`].

use crate::impls::display;

/// What a protection without a guard is for, in the caller's own terms: any number, such as the address
/// of a request. Feature `diagnosis` lists holders by it, and names a release under a tag that nothing is
/// held under. Without the feature it is ignored, and costs nothing.
///
/// See [`Rundown::acquire_tagged`](crate::Rundown::acquire_tagged).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(usize);

impl Tag {
    /// Zero: what [`acquire`](crate::Rundown::acquire) takes under.
    pub const NONE: Self = Self(0);

    /// A tag.
    pub const fn new(number: usize) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> usize {
        self.0
    }
}

display! { Tag:
    Self(number) => "{number:#x}",
}
