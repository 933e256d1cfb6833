//! Return addresses from the chain of frame pointers.
//!
//! Guests have frame pointers (`.cargo/config.toml`). `addr2line -e <elf> <address>` names lines.

use crate::memory::stack;

/// More frames than any sane stack has.
const MAX_FRAMES: usize = 32;

/// Calls `line` with each return address of the current call chain, innermost first.
pub(crate) fn here(line: &mut dyn FnMut(u64)) {
    let rbp: u64;
    // SAFETY: only reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags))
    };
    walk(rbp, MAX_FRAMES, line);
}

/// The same for interrupted code.
pub(crate) fn from(rip: u64, rbp: u64, line: &mut dyn FnMut(u64)) {
    line(rip);
    walk(rbp, MAX_FRAMES - 1, line);
}

fn walk(mut rbp: u64, frames: usize, line: &mut dyn FnMut(u64)) {
    for _ in 0..frames {
        if !rbp.is_multiple_of(8) || !stack::contains(rbp, 16) {
            return;
        }
        let pair = rbp as *const [u64; 2];
        // SAFETY: aligned, and within a mapped stack (checked above); a garbled chain gives
        // wrong numbers, not a fault.
        let [caller, return_address] = unsafe { pair.read_volatile() };
        if return_address == 0 {
            return;
        }
        line(return_address);
        // The stack grows down: callers lie higher. (The walk ends at an interrupt's own stack.)
        if caller <= rbp {
            return;
        }
        rbp = caller;
    }
}
