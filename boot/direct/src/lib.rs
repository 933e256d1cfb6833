//! The first instructions: from QEMU's `-kernel` to a kernel's `entry_point!`.
//!
//! QEMU (and Xen, Firecracker, Cloud Hypervisor) start an ELF file that carries a PVH note without
//! disk image and boot menu, in 32-bit mode. This crate takes it from there: long mode, the kernel
//! in the higher half with the access rights of its sections, all physical memory mapped at
//! [`handover::PHYSICAL_MEMORY_OFFSET`], a stack with a guard page, and a
//! [`bootloader_api::BootInfo`] as the `bootloader` crate would pass it. Then it calls `_start`,
//! which `bootloader_api::entry_point!` defines. The kernel does not know how it was loaded.
//!
//! | step | where |
//! |---|---|
//! | 32-bit entry, CPU checks, first page tables, long mode | `entry.S` |
//! | what the loader handed over | `start_info.rs` |
//! | memory map, final page tables, `BootInfo`, jump | `start`, by crate [`handover`] |
//! | where the parts of the ELF lie | `link.ld` |
//!
//! A machine that cannot run the kernel (no long mode, no start_info, too little memory) gets one
//! line on the serial port and the end of QEMU; never a silent hang.
//!
//! To use it, depend on it, link with `boot/direct/link.ld`, and mention it once:
//! `use direct as _;`.
#![no_std]

// Code for the bare machine.
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod start_info;

/// The offset that `link.ld` adds to the physical addresses of the kernel's image.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
