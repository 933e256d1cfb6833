//! What a wait still waits for: [`Outstanding`].

use core::fmt;

use crate::object_id::ObjectId;
use crate::state::State;

/// The object has not drained yet.
///
/// With feature `diagnosis`, its `Display` also lists who holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outstanding {
    /// Which object.
    pub object: ObjectId,
    /// The state it was found in.
    pub state: State,
    /// How many protections were held a moment ago. As racy as
    /// [`racy_held`](crate::Rundown::racy_held).
    pub held: i64,
}

impl fmt::Display for Outstanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the object at {} is {}, {} held",
            self.object, self.state, self.held
        )?;
        crate::holders::list(self.object, f)
    }
}

impl core::error::Error for Outstanding {}
