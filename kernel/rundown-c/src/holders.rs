//! What is held of an object, as a library with feature `diagnosis` lists it.

use core::ffi::c_void;

use ::rundown::{Rundown, Variant};

use crate::shared::size_t;

/// Protection that is held: what is left of one acquire.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rundown_holder {
    /// What it was acquired under, or NULL.
    pub tag: *const c_void,
    /// The platform's `cpu_index` when it was acquired.
    pub cpu: size_t,
    /// The platform's `tick` when it was acquired.
    pub tick: u64,
    /// How many protections it is.
    pub count: u32,
}

/// Whether the library was built with feature `diagnosis`. Any context.
#[unsafe(no_mangle)]
pub extern "C" fn rundown_has_diagnosis() -> bool {
    cfg!(feature = "diagnosis")
}

/// How many protections, of all objects, are held but not listed, because 1024 others were when they were
/// acquired. While it is not 0, no wrong tag is noticed. Any context.
#[unsafe(no_mangle)]
pub extern "C" fn rundown_unlisted_holders() -> u64 {
    #[cfg(feature = "diagnosis")]
    return ::rundown::diagnosis::unlisted();
    #[cfg(not(feature = "diagnosis"))]
    return 0;
}

#[cfg(feature = "diagnosis")]
fn of<V: Variant + ?Sized>(object: &Rundown<V>) -> impl Iterator<Item = rundown_holder> {
    ::rundown::diagnosis::holders(object.id()).map(|holder| rundown_holder {
        tag: core::ptr::without_provenance(holder.tag.get()),
        cpu: holder.cpu,
        tick: holder.tick,
        count: holder.count,
    })
}

#[cfg(not(feature = "diagnosis"))]
fn of<V: Variant + ?Sized>(_: &Rundown<V>) -> impl Iterator<Item = rundown_holder> {
    core::iter::empty()
}

/// `holders`: room for so many.
pub(crate) unsafe fn racy_holders<V: Variant + ?Sized>(
    object: &Rundown<V>,
    holders: *mut rundown_holder,
    room: usize,
) -> usize {
    let mut found = 0;
    for holder in of(object) {
        if found < room {
            // SAFETY: the caller has that much room.
            let place = unsafe { holders.add(found) };
            // SAFETY: and it is writable.
            unsafe { place.write(holder) };
        }
        found += 1;
    }
    found
}
