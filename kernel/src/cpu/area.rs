//! Where the per-CPU areas lie: a region of address space for every CPU, all of the same layout.
//!
//! At its start, where the CPU's GS base points, is its copy of the [per-CPU
//! variables](crate::per_cpu); then [counters](super::counters), in pages that are mapped on all
//! CPUs at once as they are needed; the last page is never mapped.
//!
//! `unsafe` in this module: the areas' memory, whose layout is decided here.

use core::{
    ptr,
    sync::atomic::{AtomicI64, AtomicUsize, Ordering},
};

use bringup::CpuIndex;
use spin::mutex::SpinMutex;
use x86_64::{
    PhysAddr, instructions::interrupts::without_interrupts, structures::paging::PageTableFlags,
};

use crate::{
    memory::{self, FRAMES, mapping},
    per_cpu::{self, AREA, ROOM},
};

const PAGE: usize = 4096;

/// Where the counters begin: on a cache line that no variable is on.
pub(super) const FIRST_COUNTER: usize = ROOM;
/// Where they end, when all pages are mapped: before the page that never is.
pub(super) const END: usize = AREA - PAGE;

/// The lock of those who map pages. Held with interrupts off, since handlers may be among them.
static MAPPING: SpinMutex<()> = SpinMutex::new(());
/// Pages that are mapped in each area. Written under the lock.
static PAGES: AtomicUsize = AtomicUsize::new(1);

/// Makes the missing areas of the CPUs up to this index. On the BSP, before the CPU runs, so that a
/// CPU that starts has nothing to allocate.
///
/// There are no gaps, so that counts go over all areas. Panics if memory runs out.
pub(crate) fn allocate_up_to(cpu: CpuIndex) {
    for index in per_cpu::areas()..=cpu.get() {
        allocate(CpuIndex::new(index as u32));
    }
}

/// The most that the missing areas of the CPUs up to this index take, with their page tables.
pub(crate) fn bytes_up_to(cpu: CpuIndex) -> u64 {
    let missing = (cpu.get() + 1).saturating_sub(per_cpu::areas());
    // A table for each would be too many: eight areas share one.
    (missing * (mapped() + PAGE) + 4 * PAGE) as u64
}

/// Gives the BSP its area, as soon as there is memory. Panics if memory runs out.
pub(crate) fn settle_bsp() {
    allocate(CpuIndex::BSP);
    per_cpu::install(CpuIndex::BSP);
}

/// Makes the area of the CPU with this index, the first that has none.
fn allocate(cpu: CpuIndex) {
    without_interrupts(|| {
        let _exclusive = MAPPING.lock();
        for page in 0..PAGES.load(Ordering::Relaxed) {
            if (cpu, page) == (CpuIndex::BSP, 0) {
                let (area, early) = (per_cpu::area(cpu, 0), mapping::physical(per_cpu::early()));
                mapping::map(area, early, PageTableFlags::GLOBAL);
                continue;
            }
            map(cpu, page, FRAMES.take(PAGE as u64).expect("memory for an area"));
        }
        // SAFETY: just mapped, for good, and nothing else knows of it yet; the BSP's is `early`.
        unsafe { per_cpu::add_area(cpu) };
    });
}

pub(super) fn mapped() -> usize {
    // Acquire: pairs with the store in `extend`.
    PAGES.load(Ordering::Acquire) * PAGE
}

/// Maps pages in all areas until they reach `end`. `None` if the areas have no room for the next
/// page, or if no piece of memory holds it for all CPUs, side by side.
pub(super) fn extend(end: usize) -> Option<()> {
    if end <= mapped() {
        return Some(());
    }
    without_interrupts(|| {
        let _exclusive = MAPPING.lock();
        while end > mapped() {
            let page = PAGES.load(Ordering::Relaxed);
            if (page + 1) * PAGE > END {
                return None;
            }
            let cpus = per_cpu::areas();
            // For all CPUs or for none.
            let frames = FRAMES.take((cpus * PAGE) as u64)?;
            for cpu in 0..cpus {
                let frame = frames + (cpu * PAGE) as u64;
                map(CpuIndex::new(cpu as u32), page, frame);
            }
            // Release: pairs with the load in `mapped`. A CPU that sees that, or learns of a
            // counter in it, finds the page: absent pages are not cached (Intel SDM 3A, 4.10.4.3).
            PAGES.store(page + 1, Ordering::Release);
        }
        Some(())
    })
}

/// The counter at this offset in the area of a CPU. Any context. Panics if there is none there.
pub(crate) fn counter(offset: usize, cpu: usize) -> &'static AtomicI64 {
    assert!(cpu < per_cpu::areas(), "CPU {cpu} has no area");
    assert!(
        (FIRST_COUNTER..mapped()).contains(&offset) && offset.is_multiple_of(8),
        "no counter at {offset:#x}"
    );
    let counter = per_cpu::area(CpuIndex::new(cpu as u32), offset);
    // SAFETY: mapped, as just checked, and for good; behind the variables are only counters. The
    // CPU adds by a plain instruction: an aligned load and an aligned store, each atomic.
    unsafe { &*counter.as_ptr::<AtomicI64>() }
}

/// Clears a frame and maps it as this page of the CPU's area.
fn map(cpu: CpuIndex, page: usize, frame: PhysAddr) {
    let bytes: *mut u8 = memory::virt(frame).as_mut_ptr();
    // SAFETY: just taken, so nothing else uses it, and all of physical memory is mapped.
    unsafe { ptr::write_bytes(bytes, 0, PAGE) };
    let area = per_cpu::area(cpu, page * PAGE);
    mapping::map(area, frame, PageTableFlags::GLOBAL);
}
