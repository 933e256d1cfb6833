//! Memory: frames from the loader's memory map, a heap, stacks with guard pages.

mod frames;
mod heap;
pub(crate) mod mapping;
mod registers;
pub(crate) mod stack;
mod window;

use core::{
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

use bootloader_api::{BootInfo, info::MemoryRegionKind};

pub(crate) use frames::FRAMES;
pub(crate) use registers::map_registers;
pub(crate) use window::virt;

/// Bytes of memory that the loader left to the kernel.
#[must_use]
pub fn usable_bytes() -> u64 {
    USABLE.load(Ordering::Relaxed)
}

/// Written once, before other CPUs run, so Relaxed everywhere.
static USABLE: AtomicU64 = AtomicU64::new(0);

/// The ramdisk's bytes; empty if there is none.
pub(crate) fn ramdisk(boot_info: &BootInfo) -> &'static [u8] {
    let Some(address) = boot_info.ramdisk_addr.into_option() else {
        return &[];
    };
    // SAFETY: the loader has mapped the ramdisk there, keeps it out of usable memory, and nobody
    // writes to it.
    unsafe { slice::from_raw_parts(address as *const u8, boot_info.ramdisk_len as usize) }
}

/// Takes over the memory. Once, on the BSP.
///
/// # Panics
/// If the loader has not mapped physical memory, or left too little.
pub(crate) fn init(boot_info: &BootInfo) {
    let offset = boot_info
        .physical_memory_offset
        .into_option()
        .expect("BOOTLOADER_CONFIG asks the loader to map physical memory");
    window::init(offset);
    let usable = boot_info
        .memory_regions
        .iter()
        .filter(|region| region.kind == MemoryRegionKind::Usable);
    USABLE.store(
        usable.clone().map(|region| region.end - region.start).sum(),
        Ordering::Relaxed,
    );
    frames::FRAMES.init(usable.map(|region| region.start..region.end));
    stack::init(boot_info);
    heap::init();
}
