//! Images that are loaded while the kernel runs, such as drivers: their
//! [restartable sequences](rundown::per_cpu::gs), which the interrupt entry must know.
//!
//! `unsafe` in this module: the loader's promises.

use rundown::per_cpu::gs;
pub use rundown::per_cpu::gs::{Bounds, NotRegistered, RegisterError, RestartTable, register};

use crate::{cpu, ipi};

/// Takes an image's table out again. After this, the image's memory may be reused.
///
/// Thread context, interrupts on. Error: [`NotRegistered`].
///
/// # Safety
/// The image's code is not entered again, executed or suspended on any CPU: [`gs::unregister`].
pub unsafe fn unregister(table: &RestartTable) -> Result<(), NotRegistered> {
    // Not a barrier: NMIs answer, perhaps on top of a handler yet to look up what it interrupted.
    let called_everywhere = || {
        for cpu in cpu::others() {
            // A CPU that is not online executes nothing of the image.
            let _ = ipi::try_call(cpu, &|| {});
        }
    };
    // SAFETY: by the caller. A call is run by a handler for which interrupts were on, so every
    // handler below has looked up what it interrupted; or by waiting kernel code.
    unsafe { gs::unregister(table, called_everywhere) }
}
