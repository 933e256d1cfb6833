//! What is printed of the holders, and when.

use core::fmt;
use core::panic::Location;

use super::on::{holders, unlisted};
use crate::object_id::ObjectId;
use crate::platform::Platform;

/// Continues a text: a line for each holder, each with the line break before it.
pub(crate) fn list(object: ObjectId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for holder in holders(object) {
        write!(f, "\n  {holder}")?;
    }
    match unlisted() {
        0 => Ok(()),
        1 => write!(
            f,
            "\n  1 protection, of this or another object, is not listed: the table was full"
        ),
        n => write!(
            f,
            "\n  {n} protections, of this or other objects, are not listed: the table was full"
        ),
    }
}

/// A deadline has passed.
#[cold]
pub(crate) fn missed_deadline<P: Platform>(outstanding: &dyn fmt::Display) {
    // It lists the holders itself.
    P::report(format_args!("rundown: deadline missed: {outstanding}"));
}

/// The caller is about to wait for `object`, and something is still held.
#[track_caller]
pub(crate) fn about_to_wait<P: Platform>(object: ObjectId) {
    let (location, cpu) = (Location::caller(), P::cpu_hint());
    if holders(object).any(|holder| holder.cpu == cpu) {
        P::report(format_args!(
            "rundown: {}",
            SelfDeadlock {
                object,
                cpu,
                location
            }
        ));
    }
}

/// A wait by a CPU that holds, or seems to hold, what it waits for.
struct SelfDeadlock {
    object: ObjectId,
    cpu: usize,
    location: &'static Location<'static>,
}

impl fmt::Display for SelfDeadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the wait at {} may wait for itself: the object at {} is held by the same CPU, {}",
            self.location, self.object, self.cpu
        )?;
        for holder in holders(self.object).filter(|holder| holder.cpu == self.cpu) {
            write!(f, "\n  {holder}")?;
        }
        f.write_str("\n  no harm if that was handed over to another CPU or thread; it waits on")
    }
}
