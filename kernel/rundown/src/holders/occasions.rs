//! What is printed of the holders, and when.

use core::fmt;
use core::panic::Location;

use super::holder::Holder;
use super::on::{holders, unlisted};
use crate::ids::ObjectId;
use crate::platform::Platform;

/// Continues a text: a line for each holder, each with the line break before it.
pub(crate) fn list(object: ObjectId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", Lines(holders(object)))?;
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

/// The caller is about to wait for `object`, and something is still held: perhaps by the CPU that
/// waits.
#[track_caller]
pub(crate) fn about_to_wait<P: Platform>(object: ObjectId) {
    let (location, cpu) = (Location::caller(), P::cpu_hint());
    let own = holders(object).filter(|holder| holder.cpu == cpu);
    if own.clone().next().is_some() {
        P::report(format_args!(
            "rundown: the wait at {location} may wait for itself: the object at {object} is held by \
             the same CPU, {cpu}{}\n  no harm if that was handed over to another CPU or thread; it \
             waits on",
            Lines(own)
        ));
    }
}

/// A line for each, with the line break before it.
struct Lines<H>(H);

impl<H: Iterator<Item = Holder> + Clone> fmt::Display for Lines<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .clone()
            .try_for_each(|holder| write!(f, "\n  {holder}"))
    }
}
