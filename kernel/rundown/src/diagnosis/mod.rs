//! Who holds protection, and since when: feature `diagnosis`. Without it, nothing of this is there.

#[cfg(not(feature = "diagnosis"))]
mod off;
#[cfg(not(feature = "diagnosis"))]
pub(crate) use self::off::*;
