//! Interrupts: how they get in, and whose they are.
//!
//! `entry.S` has a stub for each of the 256 vectors; all lead to one entry that saves the registers
//! and calls `dispatch` with a [`Frame`]. There a restartable sequence that was interrupted is sent
//! back to its start. Then the hook of the vector runs, which its owner, on a floor above, has set.
//!
//! `unsafe` in this module: the call that puts the table of those sequences in order.

pub(crate) mod backtrace;
mod dispatch;
mod exceptions;
mod frame;
mod idt;
pub(crate) mod pic;
mod sleep;
pub(crate) mod vector;

use rundown::per_cpu::gs;

pub use dispatch::{Handler, in_handler, restarts, set_debug_handler};
pub(crate) use dispatch::{OTHERS, as_handler, forget_handlers, set_hook};
pub use frame::Frame;
pub(crate) use idt::load;
pub(crate) use sleep::enable_and_halt;
pub use x86_64::instructions::interrupts::{
    are_enabled as enabled, disable, enable, without_interrupts as without,
};

/// Sleeps in `hlt` until `ready` says so. Asks after each interrupt: a CPU that makes `ready` true
/// sends this CPU one ([`ipi::wake`](crate::ipi::wake)) afterwards.
///
/// Thread context, interrupts on; they are on again when it returns.
pub fn halt_until(mut ready: impl FnMut() -> bool) {
    loop {
        // One that comes between the question and `hlt` stays pending, and ends that.
        disable();
        if ready() {
            enable();
            return;
        }
        enable_and_halt();
    }
}

/// First step of the kernel: from here on exceptions are reported, and the 8259s are silent.
pub(crate) fn init() {
    // SAFETY: once, on the BSP alone, and the gates that lead to `dispatch` are built below.
    unsafe { gs::prepare() };
    idt::init();
    pic::take_over();
}
