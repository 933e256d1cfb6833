//! Closing many objects with one barrier.

use crate::lifecycle::NotClosed;
use crate::state::IllegalContext;
use crate::variant::{Rundown, Variant};

/// Closes those of the objects that are open, with one barrier for all. `part` finds the rundown in each.
pub(crate) fn close_all<O: ?Sized, V: Variant + ?Sized>(
    objects: &[&O],
    part: fn(&O) -> &Rundown<V>,
) -> Result<(), IllegalContext> {
    // What identifies this call while it lasts: the address of something of its own.
    let call = (&raw const objects).addr();
    let mut marked = 0_usize;
    for object in objects.iter().map(|object| part(object)) {
        let Some(closer) = V::closer(object) else {
            break;
        };
        match object.begin_close(None, false) {
            Ok(_) => {
                closer.mark(call);
                marked += 1;
            }
            Err(NotClosed::Found(_)) => {}
            // The first that is open finds that out, and the context does not change.
            Err(NotClosed::IllegalContext) => return Err(IllegalContext),
        }
    }
    if marked > 0 {
        V::barrier();
    }
    let mut rest = Rest {
        objects,
        part,
        call,
        barrier: marked > 0,
    };
    rest.close();
    Ok(())
}

/// What is left to do of [`close_all`]: for a variant with a barrier the second half of each close, for
/// the others all of it. Goes on if one of them panics, since nothing else will do the rest.
struct Rest<'a, 'b, O: ?Sized, V: Variant + ?Sized> {
    objects: &'a [&'b O],
    part: fn(&O) -> &Rundown<V>,
    call: usize,
    /// There has been one, by this call. (Otherwise a mark that looks like its own was left by a call whose
    /// barrier has panicked, and the object stays closing.)
    barrier: bool,
}

impl<O: ?Sized, V: Variant + ?Sized> Rest<'_, '_, O, V> {
    fn close(&mut self) {
        while let Some((object, rest)) = self.objects.split_first() {
            self.objects = rest;
            let object = (self.part)(object);
            let begun = match V::closer(object) {
                Some(closer) => self.barrier && closer.unmark(self.call),
                None => object.begin_close(None, false).is_ok(),
            };
            if begun {
                // SAFETY: closed by this call, and there has been a barrier if the variant needs one.
                unsafe { object.finish_close(false) };
            }
        }
    }
}

impl<O: ?Sized, V: Variant + ?Sized> Drop for Rest<'_, '_, O, V> {
    fn drop(&mut self) {
        self.close();
    }
}
