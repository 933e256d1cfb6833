//! Closing many objects with one barrier.

use crate::lifecycle::NotClosed;
use crate::state::IllegalContext;
use crate::variant::{Rundown, Variant};

/// Closes those of the objects that are open, with one barrier for all, and returns how many. `part` finds the
/// rundown in each.
pub(crate) fn close_all<O: ?Sized, V: Variant + ?Sized>(
    objects: &mut [&O],
    part: fn(&O) -> &Rundown<V>,
) -> Result<usize, IllegalContext> {
    // Those that this call has closed stand in front.
    let mut closed = 0;
    for index in 0..objects.len() {
        match part(objects[index]).begin_close(None, false) {
            Ok(_) => {
                (objects[closed], objects[index]) = (objects[index], objects[closed]);
                closed += 1;
            }
            Err(NotClosed::Found(_)) => {}
            // The first that is open finds that out, and the context does not change.
            Err(NotClosed::IllegalContext) => return Err(IllegalContext),
        }
    }
    if closed > 0 {
        V::barrier();
    }
    let objects = &objects[..closed];
    Rest { objects, part }.close();
    Ok(closed)
}

/// What is left to do of [`close_all`], after the barrier: the second half of each close. Goes on if one of
/// them panics, since nothing else will do the rest.
struct Rest<'a, 'b, O: ?Sized, V: Variant + ?Sized> {
    objects: &'a [&'b O],
    part: fn(&O) -> &Rundown<V>,
}

impl<O: ?Sized, V: Variant + ?Sized> Rest<'_, '_, O, V> {
    fn close(&mut self) {
        while let Some((object, rest)) = self.objects.split_first() {
            self.objects = rest;
            // SAFETY: closed by this call, and there has been a barrier.
            unsafe { (self.part)(object).finish_close(false) };
        }
    }
}

impl<O: ?Sized, V: Variant + ?Sized> Drop for Rest<'_, '_, O, V> {
    fn drop(&mut self) {
        self.close();
    }
}
