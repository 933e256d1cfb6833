//! From start_info to a running kernel: memory map, page tables, `BootInfo`, jump.

use core::{
    arch::global_asm,
    cell::UnsafeCell,
    mem::{MaybeUninit, offset_of},
    ptr, slice,
};

use bootloader_api::{
    BootInfo,
    info::{MemoryRegion, MemoryRegionKind},
};
use handover::{
    Failure, GDT, KernelEntry, LoadedKernel, MAPPED_AT_LEAST,
    regions::RegionList,
    tables::{Frames, PageTables, Rights, bytes_needed},
};
use x86_64::{VirtAddr, structures::paging::PhysFrame};

use crate::{
    KERNEL_BASE, console,
    start_info::{self, MemoryMapEntry, Module, StartInfo, TYPE_RAM},
};

global_asm!(
    include_str!("entry.S"),
    KERNEL_BASE = const KERNEL_BASE,
    START_INFO_MAGIC = const start_info::MAGIC,
    NR_MODULES = const offset_of!(StartInfo, nr_modules),
    MODLIST = const offset_of!(StartInfo, modlist_paddr),
    MODULE_ADDRESS = const offset_of!(Module, paddr),
    MODULE_SIZE = const offset_of!(Module, size),
    EXIT_PORT = const handover::EXIT_PORT,
    EXIT_UNFIT = const handover::UNFIT,
    CODE_SEGMENT = const GDT[1],
    main = sym main,
);

/// End of what `entry.S` has mapped.
const FIRST_MAP_END: u64 = 1 << 30;

/// Called by `entry.S` in 64-bit mode, on a boot stack, with the first GiB mapped at `KERNEL_BASE`.
extern "C" fn main(start_info_address: u64) -> ! {
    // `entry.S` has checked the magic.
    let info: StartInfo = read(start_info_address, "start_info");
    if info.version < 1 || info.memmap_entries == 0 {
        console::fail(format_args!(
            "start_info version {} has no memory map: use a loader that sends version 1 (QEMU 4.0 or later)",
            info.version
        ));
    }
    let stack = or_fail(handover::stack_size(config()));

    let memory_map: &[MemoryMapEntry] =
        slice_at(info.memmap_paddr, u64::from(info.memmap_entries), "memory map");
    let mut regions = or_fail(RegionList::from_memory_map(memory_map.iter().map(region)));
    let end_of_memory = regions.end_of_memory();
    let ramdisk: Option<Module> =
        (info.nr_modules > 0).then(|| read(info.modlist_paddr, "list of modules"));
    if let Some(Module { paddr, size, .. }) = ramdisk {
        or_fail(regions.reserve(paddr, paddr + size));
    }
    let image = physical(&raw const kernel_start)..physical(&raw const kernel_end);
    if end_of_memory < image.end {
        too_little_memory(&regions, image.end - image.start);
    }
    or_fail(regions.reserve(image.start, image.end));

    let mapped = end_of_memory.max(MAPPED_AT_LEAST).next_multiple_of(2 << 20);
    let needed = bytes_needed(image.end - image.start, mapped, stack);
    let Some(start) = regions.find_usable(needed, image.end, FIRST_MAP_END) else {
        too_little_memory(&regions, needed);
    };
    // SAFETY: the range is usable memory that nothing else has, within the first GiB, mapped.
    unsafe { ptr::write_bytes((KERNEL_BASE + start) as *mut u8, 0, needed as usize) };
    let frames = Frames { next: start, end: start + needed };
    let (level_4, left) = or_fail(build(frames, mapped, stack));
    or_fail(regions.reserve(start, left.next));

    // SAFETY: only this CPU runs, and `main` is entered once: nothing refers to the static before
    // it is written.
    let regions: &'static mut RegionList = unsafe { (*REGIONS.0.get()).write(regions) };
    let regions: &'static mut [MemoryRegion] = regions.as_mut_slice();
    let boot_info = BootInfo::from(LoadedKernel {
        regions: regions.into(),
        rsdp: (info.rsdp_paddr != 0).then_some(info.rsdp_paddr),
        ramdisk: ramdisk.map(|module| module.paddr..module.paddr + module.size),
        image_at: KERNEL_BASE + image.start,
        image,
        stack,
        framebuffer: None,
    });
    // SAFETY: as for REGIONS.
    let boot_info = unsafe { (*BOOT_INFO.0.get()).write(boot_info) };
    static CODE_SEGMENT: [u64; 2] = GDT;
    // SAFETY: `entry.S` has left interrupts off and set EFER.NXE; the tables map this image, so
    // this code, `boot_info` and the GDT, at the addresses where they are. `_start` is what
    // `entry_point!` has defined.
    unsafe {
        handover::enter(KernelEntry {
            level_4,
            gdt: VirtAddr::from_ptr(&CODE_SEGMENT),
            boot_info: VirtAddr::from_ptr(boot_info),
            start: VirtAddr::new(_start as *const () as u64),
        })
    }
}

/// The kernel's page tables, of zeroed frames.
fn build(frames: Frames, mapped: u64, stack: u64) -> Result<(PhysFrame, Frames), Failure> {
    // SAFETY: `entry.S` mapped the first GiB at KERNEL_BASE, where `main` took and zeroed them.
    let mut tables = unsafe { PageTables::new(frames, VirtAddr::new(KERNEL_BASE)) }?;
    tables.memory(0..mapped)?;
    for (start, end, rights) in [
        (&raw const text_start, &raw const text_end, Rights::Execute),
        (&raw const rodata_start, &raw const rodata_end, Rights::Read),
        (&raw const data_start, &raw const data_end, Rights::Write),
    ] {
        tables.pages(start as u64..end as u64, physical(start), rights)?;
    }
    tables.stack(stack)?;
    Ok(tables.finish())
}

#[expect(improper_ctypes, reason = "defined by Rust, with the same signature")]
unsafe extern "C" {
    /// Defined by `bootloader_api::entry_point!`.
    fn _start(boot_info: &'static mut BootInfo) -> !;
    // Defined by link.ld; only their addresses mean anything.
    static bootloader_config_start: u8;
    static bootloader_config_end: u8;
    static kernel_start: u8;
    static kernel_end: u8;
    static text_start: u8;
    static text_end: u8;
    static rodata_start: u8;
    static rodata_end: u8;
    static data_start: u8;
    static data_end: u8;
}

/// Where a symbol of the image lies in memory.
fn physical(symbol: *const u8) -> u64 {
    symbol as u64 - KERNEL_BASE
}

/// Static memory that `main` writes once.
struct Once<T>(UnsafeCell<MaybeUninit<T>>);
// SAFETY: only `main` refers to it, on the only CPU that runs.
unsafe impl<T> Sync for Once<T> {}
static REGIONS: Once<RegionList> = Once(UnsafeCell::new(MaybeUninit::uninit()));
static BOOT_INFO: Once<BootInfo> = Once(UnsafeCell::new(MaybeUninit::uninit()));

/// The configuration that `entry_point!` has put into the image.
fn config() -> &'static [u8] {
    let start = &raw const bootloader_config_start;
    let len = (&raw const bootloader_config_end as usize) - start as usize;
    // SAFETY: link.ld puts exactly the section's bytes between the two symbols.
    unsafe { slice::from_raw_parts(start, len) }
}

fn region(entry: &MemoryMapEntry) -> MemoryRegion {
    MemoryRegion {
        start: entry.addr,
        end: entry.addr.saturating_add(entry.size),
        kind: match entry.kind {
            TYPE_RAM => MemoryRegionKind::Usable,
            kind => MemoryRegionKind::UnknownBios(kind),
        },
    }
}

/// A copy of what the loader left at a physical address.
fn read<T: Copy + 'static>(address: u64, what: &str) -> T {
    slice_at(address, 1, what)[0]
}

/// The loader's data at a physical address.
fn slice_at<T: Copy + 'static>(address: u64, len: u64, what: &str) -> &'static [T] {
    let bytes = len * size_of::<T>() as u64;
    if address == 0 || address + bytes > FIRST_MAP_END {
        console::fail(format_args!(
            "the loader's {what} lies at {address:#x}, not in the first GiB"
        ));
    }
    // SAFETY: mapped by `entry.S`; the loader promises `len` values there. Nothing writes to them
    // until the last use of the slice: the kernel has not started. PVH aligns its structures.
    unsafe { slice::from_raw_parts((KERNEL_BASE + address) as *const T, len as usize) }
}

fn or_fail<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|why| console::fail(format_args!("{why}")))
}

fn too_little_memory(regions: &RegionList, needed: u64) -> ! {
    console::fail(format_args!(
        "too little memory: {} KiB usable, {} KiB more needed behind the kernel at {:#x} (QEMU: -m)",
        regions.usable_bytes() >> 10,
        needed.div_ceil(1 << 10),
        physical(&raw const kernel_end),
    ))
}
