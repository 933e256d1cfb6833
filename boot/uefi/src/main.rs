//! A UEFI loader for the kernel that it contains: `BOOTX64.EFI`.
//!
//! UEFI enters [`main`] in 64-bit mode, with memory mapped one to one. The loader reads the file
//! `options` beside it, puts the kernel's segments, page tables and stack into memory below 4 GiB,
//! leaves the firmware's services, and jumps to the kernel as crate [`handover`] has it: the kernel
//! cannot distinguish it from the other way in. An error before that is one line on the screen, and
//! a return to the firmware. Once the firmware's services are gone nothing can fail but the last
//! reading of the memory map, which was read before.
#![no_std]
#![no_main]

extern crate alloc;

mod firmware;

use alloc::string::String;
use core::{convert::Infallible, mem::offset_of, ops::Range, slice, time::Duration};

use bootloader_api::{BootInfo, info::MemoryRegion};
use bringup::LocalApic;
use handover::{
    GDT, KernelEntry, LoadedKernel, MAPPED_AT_LEAST, PHYSICAL_MEMORY_OFFSET,
    regions::MAX_REGIONS,
    tables::{Frames, PageTables, Rights, bytes_needed},
};
use raw_cpuid::CpuId;
use uefi::{Status, boot, prelude::entry, println};
use x86_64::{
    VirtAddr,
    instructions::{hlt, interrupts},
    registers::{
        control::{Cr0, Cr0Flags, Cr4},
        model_specific::{Efer, EferFlags},
    },
    structures::paging::PhysFrame,
};

/// The kernel, as `boot` has read it out of its ELF file (`boot/src/image.rs`).
#[cfg(target_os = "uefi")]
static KERNEL: Kernel = include!(env!("KERNEL"));
/// None where editors check this for the host.
#[cfg(not(target_os = "uefi"))]
static KERNEL: Kernel = Kernel { bytes: &[], pages: 0..0, entry: 0, stack: 0, segments: &[] };

struct Kernel {
    /// The contents of its segments, from the first address on. All behind it is zero.
    bytes: &'static [u8],
    /// The addresses that they take, in whole pages.
    pages: Range<u64>,
    /// Where it starts.
    entry: u64,
    /// Bytes of its first stack.
    stack: u64,
    /// The pages of each segment.
    segments: &'static [(Range<u64>, Rights)],
}

/// How long a line stays on the screen before the firmware goes on.
const TIME_TO_READ: Duration = Duration::from_secs(10);

/// The loader's memory that the kernel keeps, besides image, tables and ramdisk.
struct Kept {
    regions: [MemoryRegion; MAX_REGIONS],
    boot_info: BootInfo,
    gdt: [u64; 2],
}

#[entry]
fn main() -> Status {
    let Err(why) = load();
    println!("uefi: {why}");
    handover::end_qemu();
    boot::stall(TIME_TO_READ);
    Status::LOAD_ERROR
}

fn load() -> Result<Infallible, String> {
    prepare_cpu()?;
    let Kernel { stack, .. } = KERNEL;
    let size = KERNEL.pages.end - KERNEL.pages.start;
    let options = firmware::options()?;
    let (framebuffer, screen) = firmware::screen()?;
    let rsdp = firmware::rsdp();

    let ramdisk = firmware::allocate(options.len() as u64)?;
    firmware::copy(&options, ramdisk.start);
    let at = firmware::allocate(size)?;
    firmware::copy(KERNEL.bytes, at.start);
    // The code that switches over must be in both address spaces. It may span two pages.
    let switch = handover::enter as *const () as u64 & !4095;
    let switch = switch..switch + 2 * 4096;
    let level_4 = page_tables(at.start, &screen, &switch)?;
    let kept = firmware::allocate(size_of::<Kept>() as u64)?.start;
    let in_kept = |offset: usize| VirtAddr::new(PHYSICAL_MEMORY_OFFSET + kept + offset as u64);
    let entry = KernelEntry {
        level_4,
        gdt: in_kept(offset_of!(Kept, gdt)),
        boot_info: in_kept(offset_of!(Kept, boot_info)),
        start: VirtAddr::new(KERNEL.entry),
    };
    println!("uefi: starts the kernel, {} KiB at {:#x}", size >> 10, at.start);

    // SAFETY: of the firmware's, only the map is still used, in memory that only the kernel reuses.
    let memory_map = unsafe { boot::exit_boot_services(None) };
    interrupts::disable();
    // SAFETY: UEFI runs on CPUs with a local APIC, and maps it one to one.
    let apic = unsafe { LocalApic::find(|address| address as *mut u8) };
    // SAFETY: the other CPUs wait for work of the firmware's, which has none any more. Some wait in
    // loops that would slow the kernel down until it does the same.
    unsafe { bringup::quiet_others(apic) };
    // The map was read without an error just now, and has hardly changed.
    let mut regions = firmware::regions(&memory_map).unwrap_or_else(|_| stop());
    regions.reserve(switch.start, switch.end).unwrap_or_else(|_| stop());
    let (regions, mut list) = (regions.as_slice(), [MemoryRegion::empty(); MAX_REGIONS]);
    list[..regions.len()].copy_from_slice(regions);
    let at_last = in_kept(offset_of!(Kept, regions)).as_mut_ptr();
    let loaded = LoadedKernel {
        // SAFETY: where the kernel finds the list. Nothing here reads it there.
        regions: unsafe { slice::from_raw_parts_mut(at_last, regions.len()) }.into(),
        rsdp,
        ramdisk: Some(ramdisk.start..ramdisk.start + options.len() as u64),
        image: at,
        image_at: KERNEL.pages.start,
        stack,
        framebuffer: Some(framebuffer),
    };
    let contents = Kept { regions: list, boot_info: loaded.into(), gdt: GDT };
    // SAFETY: allocated for it, and nothing else refers to it.
    unsafe { (kept as *mut Kept).write(contents) };
    // SAFETY: only now, since the firmware may write to what it has marked as read-only.
    unsafe { Cr0::update(|cr0| cr0.insert(Cr0Flags::WRITE_PROTECT)) };
    // SAFETY: interrupts are off, NX is on, there are four levels, and all is mapped as promised.
    unsafe { handover::enter(entry) }
}

/// The kernel's page tables: all memory, the image at `at`, the screen, and `switch` one to one.
fn page_tables(at: u64, screen: &Range<u64>, switch: &Range<u64>) -> Result<PhysFrame, String> {
    let Kernel { pages, stack, .. } = &KERNEL;
    let mapped = firmware::end_of_memory()?.max(MAPPED_AT_LEAST);
    let mapped = mapped.next_multiple_of(2 << 20);
    let Range { start, end } =
        firmware::allocate(bytes_needed(pages.end - pages.start, mapped, *stack))?;
    let frames = Frames { next: start, end };
    // SAFETY: UEFI maps memory one to one; the frames were just taken and zeroed.
    let mut tables = unsafe { PageTables::new(frames, VirtAddr::zero()) }?;
    tables.memory(0..mapped)?;
    if screen.start >= mapped {
        tables.memory(screen.clone())?;
    }
    tables.pages(switch.clone(), switch.start, Rights::Execute)?;
    for (segment, rights) in KERNEL.segments {
        let physical = at + (segment.start - pages.start);
        tables.pages(segment.clone(), physical, *rights)?;
    }
    tables.stack(*stack)?;
    Ok(tables.finish().0)
}

/// Switches on what the kernel's page tables rely on.
fn prepare_cpu() -> Result<(), String> {
    let features = CpuId::new().get_extended_processor_and_feature_identifiers();
    let has_nx = features.is_some_and(|features| features.has_execute_disable());
    handover::check_paging(has_nx, Cr4::read())?;
    // SAFETY: execute-disable exists, and so far no page has the bit that it gives a meaning.
    unsafe { Efer::update(|efer| efer.insert(EferFlags::NO_EXECUTE_ENABLE)) };
    Ok(())
}

/// Where nothing can be said any more.
fn stop() -> ! {
    loop {
        hlt();
    }
}
