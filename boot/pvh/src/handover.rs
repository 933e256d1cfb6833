//! From start_info to a running kernel: memory map, page tables, `BootInfo`, jump.

use core::{
    arch::global_asm,
    cell::UnsafeCell,
    mem::{MaybeUninit, offset_of},
    ptr, slice,
};

use bootloader_api::{BootInfo, BootloaderConfig, config::Mapping, info::MemoryRegion};
use x86_64::PhysAddr;

use crate::{
    PHYSICAL_MEMORY_OFFSET, STACK_TOP, console,
    regions::{RegionList, TooManyRegions},
    start_info::{self, MemoryMapEntry, Module, StartInfo},
    tables::{self, Frames, in_image_map},
};

global_asm!(
    include_str!("entry.S"),
    KERNEL_BASE = const crate::KERNEL_BASE,
    START_INFO_MAGIC = const start_info::MAGIC,
    NR_MODULES = const offset_of!(StartInfo, nr_modules),
    MODLIST = const offset_of!(StartInfo, modlist_paddr),
    MODULE_ADDRESS = const offset_of!(Module, paddr),
    MODULE_SIZE = const offset_of!(Module, size),
    EXIT_PORT = const console::EXIT_PORT,
    EXIT_UNFIT = const console::UNFIT,
    main = sym main,
);

/// Physical memory below this is mapped, memory or not: the local APICs, the I/O APICs and ACPI
/// tables lie there.
const MAPPED_AT_LEAST: u64 = 4 << 30;

/// End of what `entry.S` has mapped.
const FIRST_MAP_END: u64 = 1 << 30;

/// Called by `entry.S` in 64-bit mode, on a boot stack, with the first GiB mapped at
/// `KERNEL_BASE`.
extern "C" fn main(start_info_address: u64) -> ! {
    // `entry.S` has checked the magic.
    let info: StartInfo = read(start_info_address, "start_info");
    if info.version < 1 || info.memmap_entries == 0 {
        console::fail(format_args!(
            "start_info version {} has no memory map: use a loader that sends version 1 (QEMU 4.0 or later)",
            info.version
        ));
    }
    let config = config();
    let stack = config.kernel_stack_size.next_multiple_of(4096);

    let memory_map: &[MemoryMapEntry] = slice_at(
        info.memmap_paddr,
        u64::from(info.memmap_entries),
        "memory map",
    );
    let mut regions = or_fail(RegionList::from_memory_map(memory_map));
    let end_of_memory = regions.end_of_memory();
    let ramdisk: Option<Module> =
        (info.nr_modules > 0).then(|| read(info.modlist_paddr, "list of modules"));
    if let Some(Module { paddr, size, .. }) = ramdisk {
        or_fail(regions.reserve(paddr, paddr + size));
    }
    if end_of_memory < tables::image_end() {
        too_little_memory(&regions, tables::image_end() - tables::image_start());
    }
    or_fail(regions.reserve(tables::image_start(), tables::image_end()));

    let mapped = end_of_memory.max(MAPPED_AT_LEAST).next_multiple_of(2 << 20);
    let needed = tables::bytes_needed(mapped, stack);
    let Some(start) = regions.find_usable(needed, tables::image_end(), FIRST_MAP_END) else {
        too_little_memory(&regions, needed);
    };
    // SAFETY: the range is usable memory that nobody else has, within the first GiB, mapped.
    unsafe {
        ptr::write_bytes(
            in_image_map(PhysAddr::new(start)).as_mut_ptr::<u8>(),
            0,
            needed as usize,
        );
    }
    let mut frames = Frames {
        next: start,
        end: start + needed,
    };
    let level_4 = tables::build(&mut frames, mapped, stack);
    or_fail(regions.reserve(start, frames.next));

    // SAFETY: only this CPU runs and `main` is entered once, so the static is written before
    // anybody can refer to it.
    let regions: &'static mut RegionList = unsafe { (*REGIONS.0.get()).write(regions) };
    let regions: &'static mut [MemoryRegion] = regions.as_mut_slice();
    let mut boot_info = BootInfo::new(regions.into());
    boot_info.physical_memory_offset = Some(PHYSICAL_MEMORY_OFFSET).into();
    boot_info.rsdp_addr = (info.rsdp_paddr != 0).then_some(info.rsdp_paddr).into();
    if let Some(Module { paddr, size, .. }) = ramdisk {
        // A virtual address, as the `bootloader` crate passes it.
        boot_info.ramdisk_addr = Some(PHYSICAL_MEMORY_OFFSET + paddr).into();
        boot_info.ramdisk_len = size;
    }
    boot_info.kernel_addr = tables::image_start();
    boot_info.kernel_len = tables::image_end() - tables::image_start();
    boot_info.kernel_image_offset = crate::KERNEL_BASE + tables::image_start();
    boot_info.kernel_stack_bottom = STACK_TOP - stack;
    boot_info.kernel_stack_len = stack;
    // SAFETY: as for REGIONS.
    let boot_info = unsafe { (*BOOT_INFO.0.get()).write(boot_info) };

    // SAFETY: the tables map this code, its data (so `boot_info`) and the stack at the same
    // addresses; `_start` never returns, so nothing on the old stack is used again. Global pages
    // (CR4 bit 7) are switched on after the tables they belong to.
    unsafe {
        core::arch::asm!(
            "mov cr3, rcx",
            "mov rax, cr4",
            "or rax, 1 << 7",
            "mov cr4, rax",
            "mov rsp, rdx",
            "xor ebp, ebp",
            "call {start}",
            "ud2",
            in("rcx") level_4.start_address().as_u64(),
            in("rdx") STACK_TOP,
            in("rdi") boot_info,
            start = sym _start,
            options(noreturn),
        )
    }
}

#[expect(improper_ctypes, reason = "defined by Rust, with the same signature")]
unsafe extern "C" {
    /// What `bootloader_api::entry_point!` defines.
    fn _start(boot_info: &'static mut BootInfo) -> !;
    static bootloader_config_start: u8;
    static bootloader_config_end: u8;
}

/// Static memory that `main` writes once.
struct Once<T>(UnsafeCell<MaybeUninit<T>>);
// SAFETY: only `main` refers to it, on the only CPU that runs.
unsafe impl<T> Sync for Once<T> {}
static REGIONS: Once<RegionList> = Once(UnsafeCell::new(MaybeUninit::uninit()));
static BOOT_INFO: Once<BootInfo> = Once(UnsafeCell::new(MaybeUninit::uninit()));

/// The configuration that `entry_point!` has put into the image.
fn config() -> BootloaderConfig {
    let start = &raw const bootloader_config_start;
    let len = (&raw const bootloader_config_end as usize) - start as usize;
    // SAFETY: link.ld puts exactly the section's bytes between the two symbols.
    let bytes = unsafe { slice::from_raw_parts(start, len) };
    let config = BootloaderConfig::deserialize(bytes).unwrap_or_else(|error| {
        console::fail(format_args!(
            "the kernel's .bootloader-config ({len} bytes) is not that of bootloader_api 0.11: {error}"
        ))
    });
    if let Some(Mapping::FixedAddress(address)) = config.mappings.physical_memory
        && address != PHYSICAL_MEMORY_OFFSET
    {
        console::fail(format_args!(
            "the kernel wants physical memory at {address:#x}; this loader maps it at {PHYSICAL_MEMORY_OFFSET:#x} (use Mapping::Dynamic)"
        ));
    }
    config
}

/// A copy of what the loader left at a physical address.
fn read<T: Copy + 'static>(address: u64, what: &str) -> T {
    slice_at(address, 1, what)[0]
}

/// What the loader left at a physical address.
fn slice_at<T: Copy + 'static>(address: u64, len: u64, what: &str) -> &'static [T] {
    let bytes = len * size_of::<T>() as u64;
    if address == 0 || address + bytes > FIRST_MAP_END {
        console::fail(format_args!(
            "the loader's {what} lies at {address:#x}, not in the first GiB"
        ));
    }
    // SAFETY: mapped by `entry.S`; the loader promises `len` values there. Nothing writes to them
    // until the last use of the slice: the kernel has not started. PVH aligns its structures.
    unsafe { slice::from_raw_parts(in_image_map(PhysAddr::new(address)).as_ptr(), len as usize) }
}

fn or_fail<T>(result: Result<T, TooManyRegions>) -> T {
    result.unwrap_or_else(|TooManyRegions| {
        console::fail(format_args!(
            "the memory map has more than {} regions",
            crate::regions::MAX_REGIONS
        ))
    })
}

fn too_little_memory(regions: &RegionList, needed: u64) -> ! {
    console::fail(format_args!(
        "too little memory: {} KiB usable, {} KiB more needed behind the kernel at {:#x} (QEMU: -m)",
        regions.usable_bytes() >> 10,
        needed.div_ceil(1 << 10),
        tables::image_end(),
    ))
}
