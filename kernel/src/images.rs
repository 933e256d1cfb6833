//! Images that are loaded while the kernel runs, such as drivers: their
//! [restartable sequences](rundown::per_cpu::gs), which the interrupt entry must know.
//!
//! `unsafe` in this module: the loader's promises.

use rundown::per_cpu::gs;
pub use rundown::per_cpu::gs::{Bounds, NotRegistered, RegisterError, RestartTable, register};

use crate::{cpu, ipi};

/// Takes an image's table out again. When this returns, the image's memory may be used for
/// something else.
///
/// Thread context, interrupts on. Error: [`NotRegistered`].
///
/// # Safety
/// The image's code is not entered any more, no CPU executes it, and none of it is suspended: see
/// [`gs::unregister`].
pub unsafe fn unregister(table: &RestartTable) -> Result<(), NotRegistered> {
    // Not a barrier: it may be answered by an NMI, on top of a handler that has yet to look up what
    // it has interrupted.
    let called_everywhere = || {
        for cpu in cpu::others() {
            // A CPU that is not online executes nothing of the image.
            let _ = ipi::try_call(cpu, &|| {});
        }
    };
    // SAFETY: by the caller. A call is run by a handler for which interrupts were on, so every
    // handler below it has looked up what it interrupted; or by kernel code that waits for
    // something.
    unsafe { gs::unregister(table, called_everywhere) }
}
