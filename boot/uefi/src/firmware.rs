//! Requests to the firmware: files, memory, the screen, ACPI's tables.

use alloc::{format, string::String, vec::Vec};
use core::{ops::Range, ptr};

use bootloader_api::info::{
    FrameBuffer, FrameBufferInfo, MemoryRegion, MemoryRegionKind, PixelFormat,
};
use handover::{Failure, PHYSICAL_MEMORY_OFFSET, regions::RegionList};
use uefi::{
    CString16,
    boot::{
        self, AllocateType, MemoryDescriptor, MemoryType, OpenProtocolAttributes,
        OpenProtocolParams, PAGE_SIZE,
    },
    fs::FileSystem,
    mem::memory_map::MemoryMap,
    proto::{
        console::gop::{GraphicsOutput, PixelFormat as Gop},
        device_path::text::{AllowShortcuts, DisplayOnly},
        loaded_image::LoadedImage,
    },
    system,
    table::cfg::ConfigTableEntry,
};

/// The type of memory that the kernel gets from the loader: of the loaders' own range (UEFI 2.10,
/// table 7.10), so that it differs from what the firmware and its drivers give back.
const KEPT: MemoryType = MemoryType::custom(0x8000_0000);

/// File that holds the options, in the folder that the loader comes from.
const OPTIONS: &str = "options";

/// The contents of the options' file.
pub(crate) fn options() -> Result<Vec<u8>, String> {
    let path = {
        let image = boot::open_protocol_exclusive::<LoadedImage>(boot::image_handle());
        let image =
            image.map_err(|why| format!("no word of where the loader comes from: {why}"))?;
        let path = image.file_path();
        let text =
            path.and_then(|path| path.to_string16(DisplayOnly(true), AllowShortcuts(false)).ok());
        text.map(|text| String::from(&text)).unwrap_or_default()
    };
    // GRUB passes folder and file as two nodes.
    let mut parts: Vec<_> = path.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    parts.pop();
    parts.push(OPTIONS);
    let path = parts.join("\\");
    let trouble = |why: String| format!("no options: {why} ({path})");
    let volume = boot::get_image_file_system(boot::image_handle());
    let volume = volume.map_err(|why| trouble(format!("{why}")))?;
    let name = CString16::try_from(&*path).map_err(|why| trouble(format!("{why}")))?;
    FileSystem::new(volume).read(&*name).map_err(|why| trouble(format!("{why}")))
}

/// Zeroed pages for `bytes`, which the kernel is to keep. Below 4 GiB, as high as they go: firmware
/// may give the lowest first, and the start of other CPUs needs some of those.
pub(crate) fn allocate(bytes: u64) -> Result<Range<u64>, String> {
    let pages = (bytes as usize).div_ceil(PAGE_SIZE).max(1);
    let start = boot::allocate_pages(AllocateType::MaxAddress(0xffff_ffff), KEPT, pages)
        .map_err(|why| format!("too little memory: no {} KiB in one piece ({why})", 4 * pages))?;
    // SAFETY: just allocated, and mapped one to one.
    unsafe { ptr::write_bytes(start.as_ptr(), 0, pages * PAGE_SIZE) };
    let start = start.as_ptr() as u64;
    Ok(start..start + (pages * PAGE_SIZE) as u64)
}

/// Copies bytes to memory that [`allocate`] has given.
pub(crate) fn copy(bytes: &[u8], to: u64) {
    // SAFETY: the callers have allocated so much, and nothing refers to it.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
}

/// Physical address of ACPI's RSDP, the newer one if there are two.
pub(crate) fn rsdp() -> Option<u64> {
    system::with_config_table(|tables| {
        let find = |guid| tables.iter().find(|table| table.guid == guid);
        let table =
            find(ConfigTableEntry::ACPI2_GUID).or_else(|| find(ConfigTableEntry::ACPI_GUID));
        table.map(|table| table.address as u64)
    })
}

/// The screen, in the mode that it is in, as the kernel gets it; and its physical addresses.
pub(crate) fn screen() -> Result<(FrameBuffer, Range<u64>), String> {
    let none = |why| format!("no screen that a kernel could draw on (UEFI's GOP): {why}");
    let handle =
        boot::get_handle_for_protocol::<GraphicsOutput>().map_err(|why| none(format!("{why}")))?;
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // SAFETY: not taken away meanwhile. Opened exclusively, the firmware would lose its console.
    let gop = unsafe {
        boot::open_protocol::<GraphicsOutput>(params, OpenProtocolAttributes::GetProtocol)
    };
    let mut gop = gop.map_err(|why| none(format!("{why}")))?;
    let mode = gop.current_mode_info();
    let pixel_format = match mode.pixel_format() {
        Gop::Rgb => PixelFormat::Rgb,
        Gop::Bgr => PixelFormat::Bgr,
        Gop::Bitmask => {
            let mask = mode.pixel_bitmask().unwrap_or_default();
            PixelFormat::Unknown {
                red_position: mask.red.trailing_zeros() as u8,
                green_position: mask.green.trailing_zeros() as u8,
                blue_position: mask.blue.trailing_zeros() as u8,
            }
        }
        Gop::BltOnly => return Err(none("it has no framebuffer".into())),
    };
    let ((width, height), stride) = (mode.resolution(), mode.stride());
    let start = gop.frame_buffer().as_mut_ptr() as u64;
    let info = FrameBufferInfo {
        byte_len: stride * height * 4,
        width,
        height,
        pixel_format,
        bytes_per_pixel: 4,
        stride,
    };
    // SAFETY: the kernel's tables map it there, and only the kernel draws on it.
    let framebuffer = unsafe { FrameBuffer::new(PHYSICAL_MEMORY_OFFSET + start, info) };
    Ok((framebuffer, start..start + info.byte_len as u64))
}

/// End of the highest memory, firmware tables included; an error if the map cannot be handed on.
pub(crate) fn end_of_memory() -> Result<u64, String> {
    const OTHER: [MemoryType; 5] = [
        MemoryType::RESERVED,
        MemoryType::UNUSABLE,
        MemoryType::MMIO,
        MemoryType::MMIO_PORT_SPACE,
        MemoryType::UNACCEPTED,
    ];
    let map =
        boot::memory_map(MemoryType::LOADER_DATA).map_err(|why| format!("no memory map: {why}"))?;
    regions(&map)?;
    let memory = map.entries().filter(|entry| !OTHER.contains(&entry.ty));
    Ok(memory.map(|entry| region(entry).end).max().unwrap_or(0))
}

/// The memory that the firmware leaves to the kernel.
pub(crate) fn regions(map: &impl MemoryMap) -> Result<RegionList, Failure> {
    RegionList::from_memory_map(map.entries().map(region))
}

fn region(entry: &MemoryDescriptor) -> MemoryRegion {
    let free = matches!(
        entry.ty,
        MemoryType::CONVENTIONAL
            | MemoryType::LOADER_CODE
            | MemoryType::LOADER_DATA
            | MemoryType::BOOT_SERVICES_CODE
            | MemoryType::BOOT_SERVICES_DATA
    );
    MemoryRegion {
        start: entry.phys_start,
        end: entry.phys_start + entry.page_count * PAGE_SIZE as u64,
        kind: if free {
            MemoryRegionKind::Usable
        } else {
            MemoryRegionKind::UnknownUefi(entry.ty.0)
        },
    }
}
