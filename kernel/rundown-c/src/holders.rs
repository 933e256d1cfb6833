//! The holders of an object, as a library with feature `diagnosis` lists them.

use core::ffi::c_void;

use ::rundown::{Rundown, Variant};

use crate::size_t;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rundown_holder {
    pub tag: *const c_void,
    pub cpu: size_t,
    pub tick: u64,
    pub count: u32,
}

#[unsafe(no_mangle)]
pub extern "C" fn rundown_has_diagnosis() -> bool {
    cfg!(feature = "diagnosis")
}

#[unsafe(no_mangle)]
pub extern "C" fn rundown_unlisted_holders() -> u64 {
    #[cfg(feature = "diagnosis")]
    return ::rundown::diagnosis::unlisted();
    #[cfg(not(feature = "diagnosis"))]
    return 0;
}

#[cfg(feature = "diagnosis")]
pub(crate) fn of<V: Variant + ?Sized>(object: &Rundown<V>) -> impl Iterator<Item = rundown_holder> {
    ::rundown::diagnosis::holders(object.id()).map(|holder| rundown_holder {
        tag: core::ptr::without_provenance(holder.tag.0),
        cpu: holder.cpu,
        tick: holder.tick,
        count: holder.count,
    })
}

#[cfg(not(feature = "diagnosis"))]
pub(crate) fn of<V: Variant + ?Sized>(_: &Rundown<V>) -> impl Iterator<Item = rundown_holder> {
    core::iter::empty()
}
