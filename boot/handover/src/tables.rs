//! The kernel's page tables: its image with the rights of its segments, all physical memory, a
//! stack. Nothing is both writable and executable.

use core::ops::Range;

use x86_64::{
    PhysAddr, VirtAddr,
    structures::paging::{
        FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags,
        PhysFrame, Size2MiB, Size4KiB, mapper::MapToError,
    },
};

use crate::{Failure, PHYSICAL_MEMORY_OFFSET, STACK_TOP};

/// Access to pages, besides reading. All are global: the kernel's mapping never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    Execute,
    Read,
    Write,
}

impl Rights {
    const fn flags(self) -> PageTableFlags {
        let execute = PageTableFlags::PRESENT.union(PageTableFlags::GLOBAL);
        let read = execute.union(PageTableFlags::NO_EXECUTE);
        match self {
            Self::Execute => execute,
            Self::Read => read,
            Self::Write => read.union(PageTableFlags::WRITABLE),
        }
    }
}

/// Rights of the entries in the upper levels: the last level decides.
const PARENT: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE);

/// The zeroed physical pages that are left for the tables and the stack.
#[derive(Debug)]
pub struct Frames {
    pub next: u64,
    pub end: u64,
}

// SAFETY: every frame is given away once.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        (self.next < self.end).then(|| {
            let frame = PhysFrame::containing_address(PhysAddr::new(self.next));
            self.next += Size4KiB::SIZE;
            frame
        })
    }
}

/// Bytes that [`PageTables`] take at most, for an image and a stack of these sizes, this much
/// physical memory, and two small ranges elsewhere.
#[must_use]
pub fn bytes_needed(image: u64, mapped: u64, stack: u64) -> u64 {
    // A level-3 table per 512 GiB, a level-2 table per GiB, a level-1 table per 2 MiB of image or
    // stack. Besides the level 4, for image, stack and each other range a table of each level, and
    // two where it straddles a boundary.
    let tables = mapped.div_ceil(512 << 30)
        + mapped.div_ceil(1 << 30)
        + (image + stack).div_ceil(1 << 21)
        + 24;
    tables * Size4KiB::SIZE + stack
}

#[derive(Debug)]
pub struct PageTables {
    mapper: OffsetPageTable<'static>,
    level_4: PhysFrame,
    frames: Frames,
}

impl PageTables {
    /// Tables without an entry.
    ///
    /// # Safety
    /// The frames are zeroed, mapped writable at their physical address plus `offset`, and nothing
    /// else refers to them.
    pub unsafe fn new(mut frames: Frames, offset: VirtAddr) -> Result<Self, Failure> {
        let level_4 = frames.allocate_frame().ok_or(TOO_FEW)?;
        let table =
            (offset.as_u64().wrapping_add(level_4.start_address().as_u64())) as *mut PageTable;
        // SAFETY: mapped, as the caller promises, and just taken; a zeroed page is an empty table.
        let table = unsafe { &mut *table };
        Ok(Self {
            // SAFETY: every table the mapper will reach comes from `frames`.
            mapper: unsafe { OffsetPageTable::new(table, offset) },
            level_4,
            frames,
        })
    }

    /// Maps physical memory at [`PHYSICAL_MEMORY_OFFSET`], in pages of 2 MiB, so rounded outwards.
    pub fn memory(&mut self, range: Range<u64>) -> Result<(), Failure> {
        let start = range.start & !(Size2MiB::SIZE - 1);
        for address in (start..range.end).step_by(Size2MiB::SIZE as usize) {
            let page = VirtAddr::new(PHYSICAL_MEMORY_OFFSET + address);
            self.map::<Size2MiB>(page, PhysAddr::new(address), Rights::Write)?;
        }
        Ok(())
    }

    /// Maps pages of the image, which lie together at `physical`.
    pub fn pages(
        &mut self,
        pages: Range<u64>,
        physical: u64,
        rights: Rights,
    ) -> Result<(), Failure> {
        for page in pages.clone().step_by(Size4KiB::SIZE as usize) {
            let frame = PhysAddr::new(physical + (page - pages.start));
            self.map::<Size4KiB>(VirtAddr::new(page), frame, rights)?;
        }
        Ok(())
    }

    /// Maps a stack of `bytes` (whole pages) below [`STACK_TOP`]; the page below it is left out.
    pub fn stack(&mut self, bytes: u64) -> Result<(), Failure> {
        for page in (STACK_TOP - bytes..STACK_TOP).step_by(Size4KiB::SIZE as usize) {
            let frame = self.frames.allocate_frame().ok_or(TOO_FEW)?;
            self.map::<Size4KiB>(VirtAddr::new(page), frame.start_address(), Rights::Write)?;
        }
        Ok(())
    }

    /// The level 4, and the frames that are left.
    #[must_use]
    pub fn finish(self) -> (PhysFrame, Frames) {
        (self.level_4, self.frames)
    }

    fn map<S: PageSize + core::fmt::Debug>(
        &mut self,
        page: VirtAddr,
        frame: PhysAddr,
        rights: Rights,
    ) -> Result<(), Failure>
    where
        OffsetPageTable<'static>: Mapper<S>,
    {
        let (page, frame) =
            (Page::<S>::containing_address(page), PhysFrame::containing_address(frame));
        let flags = rights.flags();
        // SAFETY: the tables are not in use yet, so no mapping can break a reference.
        let done = unsafe {
            self.mapper.map_to_with_table_flags(page, frame, flags, PARENT, &mut self.frames)
        };
        match done {
            // Not in use yet: nothing to flush.
            Ok(flush) => flush.ignore(),
            Err(MapToError::FrameAllocationFailed) => return Err(TOO_FEW),
            Err(_) => return Err("a page is mapped twice"),
        }
        Ok(())
    }
}

const TOO_FEW: Failure = "bytes_needed() is too low";
