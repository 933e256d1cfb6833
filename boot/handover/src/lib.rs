//! The way into a `bootloader_api` kernel, without the parts that depend on how the loader was
//! started: which memory is whose ([`regions`]), the kernel's page tables ([`tables`]), what its
//! image asks for ([`stack_size`]), its [`BootInfo`], and the jump ([`enter`]).
//!
//! Shared by `direct` (QEMU's `-kernel`) and the UEFI loader: the kernel cannot see which it was.
#![no_std]
#![expect(missing_docs, reason = "self-explanatory names need no doc comment")]

pub mod regions;
pub mod tables;

use core::{arch::asm, ops::Range};

use bootloader_api::{
    BootInfo, BootloaderConfig,
    config::Mapping,
    info::{FrameBuffer, MemoryRegions},
};
use x86_64::{
    VirtAddr,
    instructions::port::Port,
    registers::control::Cr4Flags,
    structures::{DescriptorTablePointer, paging::PhysFrame},
};

/// Physical address 0 lies here: start of the upper half of 48-bit addresses (level-4 entry 256).
pub const PHYSICAL_MEMORY_OFFSET: u64 = 0xffff_8000_0000_0000;

/// The kernel's first stack ends here, a guard page below it (level-4 entry 510).
pub const STACK_TOP: u64 = 0xffff_ff00_1000_0000;

/// Physical addresses below this are all mapped: local APICs, I/O APICs and ACPI tables lie there.
pub const MAPPED_AT_LEAST: u64 = 4 << 30;

/// I/O port of QEMU's `isa-debug-exit` device, and the value for it: the machine is unsupported.
/// (Crate `protocol` has the same.)
pub const EXIT_PORT: u16 = 0xf4;
pub const UNFIT: u32 = 0x13;

/// Ends QEMU: the machine is unsupported. Elsewhere it does nothing.
pub fn end_qemu() {
    // SAFETY: QEMU's exit device, or no device at all; either way no memory is touched.
    unsafe { Port::new(EXIT_PORT).write(UNFIT) };
}

/// Null, and 64-bit code (present, ring 0, execute/read, accessed, L; Intel SDM 3A, 3.4.5), used
/// until the kernel loads its own. Accessed, or the CPU would write to it, and it may be read-only.
pub const GDT: [u64; 2] = [0, 0x00af_9b00_0000_ffff];

pub type Failure = &'static str;

/// Whether the kernel's page tables suit a CPU in long mode, by what CPUID says and by its CR4.
pub fn check_paging(has_execute_disable: bool, cr4: Cr4Flags) -> Result<(), Failure> {
    if !has_execute_disable {
        return Err(
            "this CPU cannot mark pages as not executable (a setting of the firmware may hide it)",
        );
    }
    match cr4.contains(Cr4Flags::L5_PAGING) {
        // To go back to four means to leave long mode.
        true => Err(
            "the firmware uses page tables of five levels (LA57); the kernel has four: switch that off in its settings",
        ),
        false => Ok(()),
    }
}

/// The size of the first stack, in whole pages, that a kernel asks for by the bytes which
/// `entry_point!` has put into its section `.bootloader-config`.
///
/// # Errors
/// It is another section, or asks for what cannot be done.
pub fn stack_size(config: &[u8]) -> Result<u64, Failure> {
    let config = BootloaderConfig::deserialize(config);
    let config =
        config.map_err(|_| "the kernel's .bootloader-config is not that of bootloader_api 0.11")?;
    match config.mappings.physical_memory {
        Some(Mapping::FixedAddress(address)) if address != PHYSICAL_MEMORY_OFFSET => Err(
            "the kernel wants physical memory elsewhere than at 0xffff800000000000 (use Mapping::Dynamic)",
        ),
        _ => Ok(config.kernel_stack_size.next_multiple_of(4096)),
    }
}

/// Everything that was loaded, and its place: physical addresses unless stated otherwise.
#[derive(Debug)]
pub struct LoadedKernel {
    /// All usable memory, and what the loader has taken of it.
    pub regions: MemoryRegions,
    pub rsdp: Option<u64>,
    pub ramdisk: Option<Range<u64>>,
    pub image: Range<u64>,
    /// Where the image is mapped.
    pub image_at: u64,
    /// Bytes, below [`STACK_TOP`].
    pub stack: u64,
    pub framebuffer: Option<FrameBuffer>,
}

impl From<LoadedKernel> for BootInfo {
    fn from(loaded: LoadedKernel) -> Self {
        let mut boot_info = Self::new(loaded.regions);
        boot_info.framebuffer = loaded.framebuffer.into();
        boot_info.physical_memory_offset = Some(PHYSICAL_MEMORY_OFFSET).into();
        boot_info.rsdp_addr = loaded.rsdp.into();
        if let Some(Range { start, end }) = loaded.ramdisk {
            // A virtual address, as the `bootloader` crate passes it.
            boot_info.ramdisk_addr = Some(PHYSICAL_MEMORY_OFFSET + start).into();
            boot_info.ramdisk_len = end - start;
        }
        boot_info.kernel_addr = loaded.image.start;
        boot_info.kernel_len = loaded.image.end - loaded.image.start;
        boot_info.kernel_image_offset = loaded.image_at;
        boot_info.kernel_stack_bottom = STACK_TOP - loaded.stack;
        boot_info.kernel_stack_len = loaded.stack;
        boot_info
    }
}

#[derive(Clone, Copy, Debug)]
pub struct KernelEntry {
    pub level_4: PhysFrame,
    /// A copy of [`GDT`].
    pub gdt: VirtAddr,
    pub boot_info: VirtAddr,
    /// Its `_start`, which never returns.
    pub start: VirtAddr,
}

/// Loads the kernel's tables and jumps to it, with the stack that ends at [`STACK_TOP`].
///
/// # Safety
/// Interrupts are off, EFER.NXE is set, paging has four levels. The tables are those of
/// [`tables::PageTables`], and map all that `entry` names, the stack, and this function at its own
/// address. The kernel has the signature of `bootloader_api`'s entry point.
#[inline(never)]
pub unsafe fn enter(entry: KernelEntry) -> ! {
    let gdt = DescriptorTablePointer { limit: size_of_val(&GDT) as u16 - 1, base: entry.gdt };
    // SAFETY: as the caller promises, all of this is mapped in the new tables, but for the old
    // stack, from which nothing is read after they are loaded. Global pages (CR4 bit 7) go off, so
    // that none of the old ones stays (Intel SDM 3A, 4.10.4.1), and on again. The far return loads
    // CS from the new GDT and leaves the stack as after a call.
    unsafe {
        asm!(
            "lgdt [{gdt}]",
            "mov rax, cr4",
            "and rax, ~(1 << 7)",
            "mov cr4, rax",
            "mov cr3, {level_4}",
            "or rax, 1 << 7",
            "mov cr4, rax",
            "mov rsp, {stack}",
            "xor eax, eax",
            "mov ds, eax",
            "mov es, eax",
            "mov ss, eax",
            "mov fs, eax",
            "mov gs, eax",
            "xor ebp, ebp",
            "push 0",
            "push 8",
            "push {start}",
            "retfq",
            gdt = in(reg) &raw const gdt,
            level_4 = in(reg) entry.level_4.start_address().as_u64(),
            stack = in(reg) STACK_TOP,
            start = in(reg) entry.start.as_u64(),
            in("rdi") entry.boot_info.as_u64(),
            // Not one of those above.
            in("rax") 0,
            options(noreturn),
        )
    }
}

#[cfg(test)]
mod tests;
