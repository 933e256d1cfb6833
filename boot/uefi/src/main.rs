//! A UEFI loader for the kernel that it contains: `BOOTX64.EFI`.
//!
//! UEFI enters [`main`] in 64-bit mode, with memory mapped one to one. The loader reads the file `options` beside it,
//! puts the kernel's segments, page tables and stack into memory below 4 GiB, leaves the firmware's services, and jumps
//! to the kernel as crate [`handover`] has it: the kernel cannot tell it from the other way in. What it finds wrong before
//! is one line on the screen, and a return to the firmware. Once the firmware's services are gone nothing can fail but the
//! last reading of the memory map, which was read before.
#![no_std]
#![no_main]

extern crate alloc;

mod firmware;
mod image;

use alloc::string::{String, ToString};
use core::{convert::Infallible, mem::offset_of, slice, time::Duration};

use bootloader_api::{BootInfo, info::MemoryRegion};
use handover::{
    Entry, GDT, Loaded, MAPPED_AT_LEAST, PHYSICAL_MEMORY_OFFSET, Wishes,
    regions::MAX_REGIONS,
    tables::{Failure, Frames, Rights, Tables, bytes_needed},
};
use raw_cpuid::CpuId;
use uefi::{Status, boot, prelude::entry, println};
use x86_64::{
    VirtAddr,
    instructions::{hlt, interrupts},
    registers::{
        control::{Cr0, Cr0Flags, Cr4, Cr4Flags},
        model_specific::{Efer, EferFlags},
    },
};

use crate::image::Image;

/// The kernel's ELF file.
static KERNEL: &[u8] = include_bytes!(env!("KERNEL"));

/// How long a line stays on the screen before the firmware goes on.
const TIME_TO_READ: Duration = Duration::from_secs(10);

/// What the kernel keeps of the loader's memory, besides image, tables and ramdisk.
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
    let image = Image::read(KERNEL)?;
    let Wishes { stack } = Wishes::read(image.config()?).map_err(|why| why.to_string())?;
    let options = firmware::options()?;
    let screen = firmware::screen()?;
    let rsdp = firmware::rsdp();

    let ramdisk = firmware::allocate(options.len() as u64)?;
    firmware::copy(&options, ramdisk.start);
    let loaded_at = firmware::allocate(image.bytes())?;
    image.load(loaded_at.start)?;
    let mapped = firmware::end_of_memory()?.max(MAPPED_AT_LEAST);
    let needed = bytes_needed(image.bytes(), mapped, stack);
    let frames = firmware::allocate(needed)?;
    let frames = Frames {
        next: frames.start,
        end: frames.end,
    };
    // The code that switches over, which has to be in both address spaces. It is small, but may lie across two pages.
    let switch = handover::enter as *const () as u64 & !4095;
    let switch = switch..switch + 2 * 4096;
    let map = || -> Result<_, Failure> {
        // SAFETY: UEFI maps memory one to one; the frames were just taken and zeroed.
        let mut tables = unsafe { Tables::new(frames, VirtAddr::zero()) }?;
        tables.memory(0..mapped)?;
        if screen.at.start >= mapped {
            tables.memory(screen.at.clone())?;
        }
        tables.pages(switch.clone(), switch.start, Rights::Execute)?;
        image.map(&mut tables, loaded_at.start)?;
        tables.stack(stack)?;
        Ok(tables.finish().0)
    };
    let level_4 = map()?;
    let kept = firmware::allocate(size_of::<Kept>() as u64)?.start;
    let entry = Entry {
        level_4,
        gdt: VirtAddr::new(PHYSICAL_MEMORY_OFFSET + kept + offset_of!(Kept, gdt) as u64),
        boot_info: VirtAddr::new(
            PHYSICAL_MEMORY_OFFSET + kept + offset_of!(Kept, boot_info) as u64,
        ),
        start: VirtAddr::new(image.entry),
    };
    let loaded = |regions| Loaded {
        regions,
        rsdp,
        ramdisk: Some(ramdisk.start..ramdisk.start + options.len() as u64),
        image: loaded_at.clone(),
        image_at: image.pages.start,
        stack,
        framebuffer: Some(screen.framebuffer()),
    };
    println!(
        "uefi: starts the kernel, {} KiB at {:#x}",
        image.bytes() >> 10,
        loaded_at.start
    );
    // SAFETY: nothing of the firmware's is used any more but the map itself, in memory that only the kernel will reuse.
    let memory_map = unsafe { boot::exit_boot_services(None) };
    interrupts::disable();
    // It was read without an error just now, and has hardly changed.
    let Ok(mut regions) = firmware::regions(&memory_map) else {
        stop()
    };
    let Ok(()) = regions.reserve(switch.start, switch.end) else {
        stop()
    };
    let len = regions.as_slice().len();
    let kernels =
        (PHYSICAL_MEMORY_OFFSET + kept + offset_of!(Kept, regions) as u64) as *mut MemoryRegion;
    // SAFETY: the regions' address in the kernel's tables. Nothing here reads them by it.
    let kernels = unsafe { slice::from_raw_parts_mut(kernels, len) };
    let kept = kept as *mut Kept;
    // SAFETY: allocated for a `Kept`, and nothing else refers to it.
    unsafe { (&raw mut (*kept).boot_info).write(loaded(kernels.into()).into()) };
    // SAFETY: as above.
    unsafe { (&raw mut (*kept).gdt).write(GDT) };
    // SAFETY: as above.
    let list = unsafe { &mut (*kept).regions };
    list[..len].copy_from_slice(regions.as_slice());
    // SAFETY: only now, since the firmware may write to what it has marked as read-only.
    unsafe { Cr0::update(|cr0| cr0.insert(Cr0Flags::WRITE_PROTECT)) };
    // SAFETY: interrupts are off, NX is on, there are four levels, and all is mapped as promised.
    unsafe { handover::enter(entry) }
}

/// Switches on what the kernel's page tables rely on.
fn prepare_cpu() -> Result<(), String> {
    let features = CpuId::new().get_extended_processor_and_feature_identifiers();
    if !features.is_some_and(|features| features.has_execute_disable()) {
        return Err(
            "this CPU cannot mark pages as not executable (a setting of the firmware may hide it)"
                .into(),
        );
    }
    if Cr4::read().contains(Cr4Flags::L5_PAGING) {
        return Err("the firmware uses page tables of five levels (LA57); the kernel has four: switch that off in its settings".into());
    }
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
