//! How a CPU sleeps without missing what wakes it.
//!
//! `sti; hlt` is the usual way: STI holds interrupts off for one more instruction, so that one which is pending
//! comes when HLT waits for it (Intel SDM 2B, STI). But an NMI, or any exception, may come between the two. Its
//! IRET ends the delay; the pending interrupt is then taken in front of HLT, and HLT waits for a next one that
//! need not come. (Seen in 7 of 14,556 rounds of an NMI followed by a wake-up.)
//!
//! So the two are a sequence like those of `rundown`: whatever interrupts it at the HLT goes on behind it. That
//! an interrupt came is all that its caller waits for.

use core::arch::global_asm;

global_asm!(
    "    .section .text.enable_and_halt, \"ax\"",
    "    .global enable_and_halt, enable_and_halt_hlt, enable_and_halt_end",
    "enable_and_halt:",
    "    sti",
    "enable_and_halt_hlt:",
    "    hlt",
    "enable_and_halt_end:",
    "    ret",
);

unsafe extern "C" {
    /// Lets this CPU take interrupts, and waits for one. It may have been any, NMIs included, so ask what has
    /// changed. Interrupts are off when it is called, and on when it returns.
    pub(crate) safe fn enable_and_halt();
    static enable_and_halt_hlt: u8;
    static enable_and_halt_end: u8;
}

/// Where what was interrupted here is to go on, if it was about to sleep.
pub(super) fn awake_at(interrupted_at: u64) -> Option<u64> {
    let hlt = &raw const enable_and_halt_hlt;
    let end = &raw const enable_and_halt_end;
    (interrupted_at == hlt.addr() as u64).then_some(end.addr() as u64)
}
