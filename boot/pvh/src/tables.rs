//! The kernel's page tables: its image with the rights of its sections, all physical memory, a
//! stack. Nothing is both writable and executable.

use x86_64::{
    PhysAddr, VirtAddr,
    structures::paging::{
        FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags,
        PhysFrame, Size2MiB, Size4KiB,
    },
};

use crate::{KERNEL_BASE, PHYSICAL_MEMORY_OFFSET, STACK_TOP};

/// Rights of code; the other rights build on them. Global: the kernel is mapped alike for ever.
const EXECUTE: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::GLOBAL);
const READ: PageTableFlags = EXECUTE.union(PageTableFlags::NO_EXECUTE);
const WRITE: PageTableFlags = READ.union(PageTableFlags::WRITABLE);
/// Rights of the entries in the upper levels: the last level decides.
const PARENT: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE);

/// A run of physical pages that the tables and the stack are made of.
pub(crate) struct Frames {
    pub(crate) next: u64,
    pub(crate) end: u64,
}

/// Bytes that [`build`] takes at most, for this much physical memory and stack.
pub(crate) fn bytes_needed(mapped: u64, stack: u64) -> u64 {
    // A level-3 table per 512 GiB, a level-2 table per GiB, a level-1 table per 2 MiB of image or stack, and
    // upper levels: the level 4, two level 3, and two tables where a run straddles a boundary.
    let image = image_end() - image_start();
    let tables = mapped.div_ceil(512 << 30)
        + mapped.div_ceil(1 << 30)
        + (image + stack).div_ceil(1 << 21)
        + 12;
    tables * Size4KiB::SIZE + stack
}

/// Builds the tables from zeroed `frames`, which must lie below 1 GiB, and returns the level 4.
/// `mapped` bytes of physical memory from 0 on are mapped, and a stack of `stack` bytes (whole
/// pages) below [`STACK_TOP`], where the page below the stack is left out.
pub(crate) fn build(frames: &mut Frames, mapped: u64, stack: u64) -> PhysFrame {
    let level_4 = frames.take();
    // SAFETY: `entry.S` has mapped the first GiB at KERNEL_BASE and `frames` lies within it; the
    // frame was just taken, so nobody else refers to it, and a zeroed page is an empty table.
    let table = unsafe { &mut *in_image_map(level_4.start_address()).as_mut_ptr::<PageTable>() };
    // SAFETY: as above: every table the mapper will reach comes from `frames`.
    let mut mapper = unsafe { OffsetPageTable::new(table, VirtAddr::new(KERNEL_BASE)) };

    for offset in (0..mapped).step_by(Size2MiB::SIZE as usize) {
        let page =
            Page::<Size2MiB>::containing_address(VirtAddr::new(PHYSICAL_MEMORY_OFFSET + offset));
        let frame = PhysFrame::containing_address(PhysAddr::new(offset));
        map(&mut mapper, page, frame, WRITE, frames);
    }
    let sections = [
        (
            symbol(&raw const text_start),
            symbol(&raw const text_end),
            EXECUTE,
        ),
        (
            symbol(&raw const rodata_start),
            symbol(&raw const rodata_end),
            READ,
        ),
        (
            symbol(&raw const data_start),
            symbol(&raw const data_end),
            WRITE,
        ),
    ];
    for (start, end, flags) in sections {
        for address in (start..end).step_by(Size4KiB::SIZE as usize) {
            let page = Page::<Size4KiB>::containing_address(VirtAddr::new(address));
            let frame = PhysFrame::containing_address(PhysAddr::new(address - KERNEL_BASE));
            map(&mut mapper, page, frame, flags, frames);
        }
    }
    for offset in (0..stack).step_by(Size4KiB::SIZE as usize) {
        let page = Page::<Size4KiB>::containing_address(VirtAddr::new(STACK_TOP - stack + offset));
        let frame = frames.take();
        map(&mut mapper, page, frame, WRITE, frames);
    }
    level_4
}

/// Where the image lies in physical memory.
pub(crate) fn image_start() -> u64 {
    symbol(&raw const kernel_start) - KERNEL_BASE
}
pub(crate) fn image_end() -> u64 {
    symbol(&raw const kernel_end) - KERNEL_BASE
}

/// Where `entry.S` has mapped a physical address of the first GiB.
pub(crate) fn in_image_map(address: PhysAddr) -> VirtAddr {
    VirtAddr::new(KERNEL_BASE + address.as_u64())
}

impl Frames {
    /// The next frame. [`bytes_needed`] is an upper bound, so a lack is a bug in it.
    fn take(&mut self) -> PhysFrame {
        if self.next >= self.end {
            crate::console::fail(format_args!("bug: bytes_needed() is too low"));
        }
        let frame = PhysFrame::containing_address(PhysAddr::new(self.next));
        self.next += Size4KiB::SIZE;
        frame
    }
}

// SAFETY: `take` gives every frame away once.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        Some(self.take())
    }
}

fn map<S: PageSize + core::fmt::Debug>(
    mapper: &mut OffsetPageTable<'_>,
    page: Page<S>,
    frame: PhysFrame<S>,
    flags: PageTableFlags,
    frames: &mut Frames,
) where
    for<'a> OffsetPageTable<'a>: Mapper<S>,
{
    // SAFETY: the tables are not in use yet, so no mapping can break a reference.
    match unsafe { mapper.map_to_with_table_flags(page, frame, flags, PARENT, frames) } {
        // Not in use yet: nothing to flush.
        Ok(flush) => flush.ignore(),
        Err(error) => crate::console::fail(format_args!("bug: cannot map {page:?}: {error:?}")),
    }
}

// Defined by link.ld; only their addresses mean anything.
unsafe extern "C" {
    static kernel_start: u8;
    static kernel_end: u8;
    static text_start: u8;
    static text_end: u8;
    static rodata_start: u8;
    static rodata_end: u8;
    static data_start: u8;
    static data_end: u8;
}

fn symbol(address: *const u8) -> u64 {
    address as u64
}
