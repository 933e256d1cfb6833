//! A kernel that is entered as by a loader that knows nothing of PVH: without a start_info.
//!
//! Its own note comes before that of `direct` in the ELF, and QEMU takes the first: so QEMU enters
//! here, where EBX, which names the start_info, is lost on the way to the real entry.
#![no_std]
#![no_main]

use core::arch::global_asm;

use kernel::Machine;
use protocol::exit::ExitCode;

kernel::main!(run);

global_asm!(
    // As in boot/direct/src/entry.S.
    ".section .note.pvh, \"a\", @note",
    ".balign 4",
    ".long 4, 8, 18",
    ".asciz \"Xen\"",
    ".quad enter_without_start_info - {KERNEL_BASE}",
    ".text",
    ".code32",
    "enter_without_start_info:",
    "mov ebx, {NOT_A_START_INFO}",
    "jmp pvh_start32",
    ".code64",
    // Usable memory, zeroed by QEMU: no magic there.
    KERNEL_BASE = const direct::KERNEL_BASE,
    NOT_A_START_INFO = const 0x8_0000,
);

fn run(_: &'static Machine) -> ExitCode {
    panic!("entered without a start_info, and went on")
}
