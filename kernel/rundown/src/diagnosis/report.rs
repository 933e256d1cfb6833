//! What is printed, and when: [`Report`], and the hooks that print.

use core::fmt;
use core::panic::Location;

use super::on::{TABLE, holders, unlisted};
use crate::platform::{ObjectId, Platform};
use crate::rundown::Rundown;
use crate::state::Outstanding;

/// An object as people want to see it: state, counts, and who holds it. As racy as all that.
///
/// ```
/// use rundown::{diagnosis::Report, HostPlatform, Rundown, RundownRef};
///
/// let object = RundownRef::<HostPlatform>::new();
/// let _guard = object.try_acquire();
/// println!("{}", Report::of(&object));
/// // the object at 0x7ffd4c35a2b8 is open, 1 held
/// //   1 held since tick 12345 on CPU 0, taken at src/main.rs:4:21
/// ```
#[derive(Clone, Copy)]
pub struct Report<'a, R: Rundown + ?Sized> {
    rundown: &'a R,
}

impl<'a, R: Rundown + ?Sized> Report<'a, R> {
    /// Looks at nothing yet: the report is about the time when it is displayed.
    #[must_use]
    pub fn of(rundown: &'a R) -> Self {
        Self { rundown }
    }
}

/// Several lines, the last one without its end.
impl<R: Rundown + ?Sized> fmt::Display for Report<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.rundown.id();
        let (state, held) = (self.rundown.state(), self.rundown.racy_held());
        write!(f, "the object at {object} is {state}, {held} held")?;
        let counts = self.rundown.racy_counts();
        if counts.len() > 1 {
            write!(f, "\n  by slot, where not zero: {counts:?}")?;
        }
        list_holders(object, f)
    }
}

/// The same text.
impl<R: Rundown + ?Sized> fmt::Debug for Report<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Continues a text: a line for each holder, each with the line break before it.
pub(crate) fn list_holders(object: ObjectId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
pub(crate) fn missed_deadline<P: Platform>(outstanding: &Outstanding) {
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

/// The object is dropped: whatever is left of it in the table will never be released.
pub(crate) fn dropped<R: Rundown + ?Sized>(rundown: &R) {
    let held = rundown.racy_held();
    if held != 0 {
        R::Platform::report(format_args!(
            "rundown: dropped while held: {}",
            Report::of(rundown)
        ));
    }
    // Another object may come to live at this address.
    TABLE.clear(rundown.id(), held);
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
