//! Memory: frames from the loader's memory map, a heap, stacks with guard pages.

mod framebuffer;
mod frames;
mod heap;
pub(crate) mod mapping;
mod registers;
pub(crate) mod stack;

use core::{mem, slice};

use bootloader_api::{BootInfo, info::MemoryRegion};
use handover::regions::keep_usable_pages;

pub(crate) use frames::FRAMES;
pub(crate) use mapping::virt;
pub use registers::Registers;

/// The ramdisk's bytes; empty if there is none.
pub(crate) fn ramdisk(boot_info: &BootInfo) -> &'static [u8] {
    let Some(address) = boot_info.ramdisk_addr.into_option() else {
        return &[];
    };
    // SAFETY: the loader has mapped the ramdisk there, keeps it out of usable memory, and no
    // code writes to it.
    unsafe { slice::from_raw_parts(address as *const u8, boot_info.ramdisk_len as usize) }
}

/// Takes over the memory, and the loader's map of it. Returns the bytes that the loader left to the
/// kernel. Once, on the BSP. Panics if physical memory is not mapped, or too little is left.
pub(crate) fn init(boot_info: &mut BootInfo) -> u64 {
    let offset = boot_info
        .physical_memory_offset
        .into_option()
        .expect("BOOTLOADER_CONFIG asks the loader to map physical memory");
    mapping::init(offset);
    let regions = mem::replace(&mut boot_info.memory_regions, (&mut [] as &mut [_]).into());
    let regions: &'static mut [MemoryRegion] = regions.into();
    let usable = keep_usable_pages(regions);
    let usable = &mut regions[..usable];
    let bytes = usable.iter().map(|region| region.end - region.start).sum();
    frames::FRAMES.init(usable);
    stack::init(boot_info);
    heap::init();
    framebuffer::init();
    bytes
}
