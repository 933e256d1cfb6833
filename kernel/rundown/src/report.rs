//! An object as people want to see it: [`Report`].

use core::fmt;

use crate::holders;
use crate::platform::Platform;
use crate::rundown::BySlot;
use crate::variant::{Rundown, Variant};

/// An object as people want to see it: state, counts, and who holds it. As racy as all that.
///
/// ```
/// use rundown::{diagnosis::Report, HostPlatform, PlainRundown};
///
/// let object = PlainRundown::<HostPlatform>::new();
/// let _guard = object.try_acquire();
/// println!("{}", Report(&object));
/// // the object at 0x7ffd4c35a2b8 is open, 1 held
/// //   1 held since tick 12345 on CPU 0, taken at src/main.rs:4:21
/// ```
#[derive(Clone, Copy)]
pub struct Report<'a, V: Variant + ?Sized>(
    /// Which object. The report is about the time when it is displayed.
    pub &'a Rundown<V>,
);

/// Several lines, the last one without its end.
impl<V: Variant + ?Sized> fmt::Display for Report<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.0.id();
        let (state, held) = (self.0.state(), self.0.racy_held());
        write!(f, "the object at {object} is {state}, {held} held")?;
        if self.0.racy_counts().len() > 1 {
            let counts = BySlot(self.0);
            write!(f, "\n  by slot, where not zero: {counts:?}")?;
        }
        holders::list(object, f)
    }
}

/// The same text.
impl<V: Variant + ?Sized> fmt::Debug for Report<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The object is dropped: whatever is left of it in the table will never be released.
impl<V: Variant + ?Sized> Drop for Rundown<V> {
    fn drop(&mut self) {
        let held = self.racy_held();
        if held != 0 {
            V::Platform::report(format_args!(
                "rundown: dropped while held: {}",
                Report(self)
            ));
        }
        // Another object may come to live at this address.
        holders::TABLE.clear(self.id(), held);
    }
}
