//! An NMI before the BSP has its per-CPU area.
//!
//! `unsafe` in this module: a breakpoint, and the NMI.

use core::arch::asm;

use kernel::interrupts::{Frame, set_debug_handler};
use protocol::options::Options;

use crate::file;

/// If QEMU has a file `opt/early_nmi`: has an NMI come when the kernel reads its options.
/// Interrupts have handlers by then, and there is no memory yet.
pub(crate) fn arm() {
    if file::read("opt/early_nmi", &mut [0; 8]).is_none() {
        return;
    }
    // SAFETY: the handler changes nothing, and runs once, in no NMI handler.
    unsafe { set_debug_handler(Some(on_breakpoint)) };
    let at = Options::parse as *const () as u64;
    // DR7: an instruction's breakpoint, at DR0 (Intel SDM 3B, 18.2.4).
    // SAFETY: the breakpoint has a handler.
    unsafe { asm!("mov dr0, {}", "mov dr7, {}", in(reg) at, in(reg) 1_u64) };
}

fn on_breakpoint(_: &mut Frame, _: u64) {
    // SAFETY: there is no breakpoint any more; the kernel survives an NMI.
    unsafe { asm!("mov dr7, {}", "int 2", in(reg) 0_u64) };
}
