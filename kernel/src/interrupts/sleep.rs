//! Sleep without a lost wake-up.
//!
//! The usual sequence is `sti; hlt`: STI delays interrupts by one instruction, so a pending one is
//! taken when the CPU already waits in HLT (Intel SDM 2B, STI). But an NMI or an exception can hit
//! between the two. Its IRET ends the delay, the pending interrupt is taken in front of HLT, and
//! HLT then waits for another one, which may never come. So a handler that has interrupted the
//! sequence at the HLT returns behind it: the caller waits for an interrupt, and has had one.

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
    /// Lets this CPU take interrupts, and waits for any one, NMIs included: the caller checks what
    /// it waits for. Interrupts are off at the call, on at the return.
    pub(crate) safe fn enable_and_halt();
    static enable_and_halt_hlt: u8;
    static enable_and_halt_end: u8;
}

/// The address at which interrupted code continues if it was about to sleep.
pub(super) fn awake_at(interrupted_at: u64) -> Option<u64> {
    let hlt = &raw const enable_and_halt_hlt;
    let end = &raw const enable_and_halt_end;
    (interrupted_at == hlt.addr() as u64).then_some(end.addr() as u64)
}
