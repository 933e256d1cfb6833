//! The work of NMI handlers.
//!
//! `unsafe` in this module: the pointer to that work, which a handler cannot lock.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use kernel::ipi;

use crate::leaked;

/// The NMI handler's work: a reference to a leaked closure, since a handler can only be a `fn()`.
static WORK: AtomicPtr<&'static (dyn Fn() + Sync)> = AtomicPtr::new(ptr::null_mut());

/// Has every NMI do `work`, which may neither lock nor allocate.
pub fn on_nmi(work: &'static (dyn Fn() + Sync)) {
    // Release: pairs with the Acquire below.
    WORK.store(ptr::from_ref(leaked(work)).cast_mut(), Ordering::Release);
    ipi::set_nmi_handler(Some(|| {
        // SAFETY: leaked above, before the handler was set.
        let work = unsafe { &*WORK.load(Ordering::Acquire) };
        work();
    }));
}
