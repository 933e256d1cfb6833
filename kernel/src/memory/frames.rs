//! Physical memory in pages of 4 KiB.

use core::ops::Range;

use bootloader_api::info::MemoryRegion;
use spin::mutex::SpinMutex;
use x86_64::{
    PhysAddr,
    instructions::interrupts::without_interrupts,
    structures::paging::{FrameAllocator, PageSize, PhysFrame, Size2MiB, Size4KiB},
};

/// Memory below this is left alone: firmware and the start of other CPUs need some of it.
const FIRST_MIB: u64 = 1 << 20;

pub(crate) static FRAMES: Frames =
    Frames(SpinMutex::new(Ranges { usable: &mut [], single: 0..0, low: 0..0 }));

/// An allocator of frames. The kernel keeps all that it takes above 1 MiB (heap, stacks, tables).
pub(crate) struct Frames(SpinMutex<Ranges>);

struct Ranges {
    /// Free memory above the first MiB: in the loader's own list, so that no length is too long.
    usable: &'static mut [MemoryRegion],
    /// The rest of the piece that single pages come from.
    single: Range<u64>,
    /// The rest of the largest piece below.
    low: Range<u64>,
}

impl Frames {
    /// Fills the allocator with usable memory: disjoint, whole pages.
    pub(super) fn init(&self, usable: &'static mut [MemoryRegion]) {
        // Before interrupts are on.
        let mut ranges = self.0.lock();
        for region in usable.iter_mut().filter(|region| region.start < FIRST_MIB) {
            let low = region.start.max(Size4KiB::SIZE)..region.end.min(FIRST_MIB);
            if low.end.saturating_sub(low.start) > ranges.low.end - ranges.low.start {
                ranges.low = low;
            }
            region.end = region.end.max(FIRST_MIB);
            region.start = FIRST_MIB;
        }
        ranges.usable = usable;
    }

    /// Takes `bytes` (whole pages) in one piece, from the largest range; `None` if that is too
    /// small.
    ///
    /// Single pages, which are written immediately, lie close together: a host that backs memory by
    /// pages of 2 MiB, as QEMU asks it to, clears each of those at the first touch.
    pub(crate) fn take(&self, bytes: u64) -> Option<PhysAddr> {
        self.locked(|ranges| {
            if bytes != Size4KiB::SIZE {
                return ranges.take(bytes);
            }
            // Where memory is short, what is left of the piece would be missed.
            if ranges.single.is_empty() && ranges.largest() >= 8 * Size2MiB::SIZE {
                let end = ranges.take(0)?.as_u64();
                // The whole page of 2 MiB first, then what there is behind it.
                let bytes = Size2MiB::SIZE + end % Size2MiB::SIZE;
                ranges.single = ranges.take(bytes)?.as_u64()..end;
            }
            if ranges.single.is_empty() {
                return ranges.take(bytes);
            }
            let page = PhysAddr::new(ranges.single.start);
            ranges.single.start += bytes;
            Some(page)
        })
    }

    /// Takes `bytes` (whole pages) below 1 MiB, for code that starts in real mode, from the upper
    /// end: firmware keeps its data at the bottom.
    pub(crate) fn take_low(&self, bytes: u64) -> Option<PhysAddr> {
        self.locked(|ranges| {
            let low = &mut ranges.low;
            if low.end.saturating_sub(low.start) < bytes {
                return None;
            }
            low.end -= bytes;
            Some(PhysAddr::new(low.end))
        })
    }

    /// Bytes in the largest piece that is left.
    pub(crate) fn largest(&self) -> u64 {
        self.locked(|ranges| ranges.largest())
    }

    /// With interrupts off: handlers may take frames, too.
    fn locked<R>(&self, f: impl FnOnce(&mut Ranges) -> R) -> R {
        without_interrupts(|| f(&mut self.0.lock()))
    }
}

impl Ranges {
    fn largest(&self) -> u64 {
        let lengths = self.usable.iter().map(|range| range.end - range.start);
        lengths.max().unwrap_or(0)
    }

    fn take(&mut self, bytes: u64) -> Option<PhysAddr> {
        let largest = self.usable.iter_mut().max_by_key(|r| r.end - r.start)?;
        if largest.end - largest.start < bytes {
            return None;
        }
        largest.end -= bytes;
        Some(PhysAddr::new(largest.end))
    }
}

// SAFETY: `take` gives every frame away once.
unsafe impl FrameAllocator<Size4KiB> for &Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let frame = self.take(Size4KiB::SIZE);
        frame.map(PhysFrame::containing_address)
    }
}
