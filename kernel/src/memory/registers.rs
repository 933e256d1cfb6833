//! Pages of device registers.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::{PhysAddr, VirtAddr, structures::paging::PageTableFlags};

use super::mapping;

/// Behind the local APIC's page, in level-4 entry 508.
const BASE: u64 = 0xffff_fe00_0001_0000;
const PAGE: u64 = 4096;

/// Maps the page in which these registers lie, uncached and for good, and returns where they are. Each
/// call takes another page of address space.
///
/// # Panics
/// If memory for page tables runs out.
pub(crate) fn map_registers(address: PhysAddr) -> VirtAddr {
    static PAGES: AtomicU64 = AtomicU64::new(0);
    // Relaxed: whose page is whose, nothing else.
    let page = VirtAddr::new(BASE + PAGES.fetch_add(1, Ordering::Relaxed) * PAGE);
    let uncached = PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH;
    let frame = address.align_down(PAGE);
    mapping::map(page, frame, uncached | PageTableFlags::GLOBAL);
    page + (address - frame)
}
