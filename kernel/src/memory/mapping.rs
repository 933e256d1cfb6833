//! All of physical memory, as the loader mapped it, and new mappings in the kernel's tables.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::mutex::SpinMutex;
use x86_64::{
    PhysAddr, VirtAddr,
    instructions::interrupts::without_interrupts,
    registers::control::Cr3,
    structures::paging::{
        Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame, Size4KiB, Translate,
    },
};

use super::frames::FRAMES;

/// Where physical address 0 is mapped. Written once, before other CPUs run, so Relaxed everywhere.
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// Where a physical address is mapped.
pub(crate) fn virt(address: PhysAddr) -> VirtAddr {
    VirtAddr::new(OFFSET.load(Ordering::Relaxed)) + address.as_u64()
}

pub(super) fn init(offset: u64) {
    OFFSET.store(offset, Ordering::Relaxed);
}

/// Held while the tables are changed, with interrupts off, since handlers may do so. New mappings
/// only: no cached translation changes, so there is nothing to flush on other CPUs.
static TABLES: SpinMutex<()> = SpinMutex::new(());

/// Maps the page at `page` to `frame`, writable, not executable, with `extra` flags. Panics if the
/// page is mapped already or memory for tables runs out.
pub(crate) fn map(page: VirtAddr, frame: PhysAddr, extra: PageTableFlags) {
    const PARENT: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE);
    let flags = PARENT | PageTableFlags::NO_EXECUTE | extra;
    let page = Page::<Size4KiB>::containing_address(page);
    let frame = PhysFrame::containing_address(frame);
    with_tables(|mapper| {
        // SAFETY: callers map frames that they have just taken or device registers, at addresses
        // not mapped before (else the call fails), so no reference can be broken.
        match unsafe { mapper.map_to_with_table_flags(page, frame, flags, PARENT, &mut &FRAMES) } {
            // No CPU keeps that a page is not there (Intel SDM 3A, 4.10.4.3).
            Ok(flush) => flush.ignore(),
            Err(error) => panic!("cannot map {page:?}: {error:?}"),
        }
    });
}

/// The physical address of a byte that is mapped.
pub(crate) fn physical(address: VirtAddr) -> PhysAddr {
    with_tables(|mapper| mapper.translate_addr(address)).expect("mapped")
}

/// Whether this physical address is mapped where all of memory is.
pub(crate) fn is_mapped(address: PhysAddr) -> bool {
    let page = virt(PhysAddr::zero()).as_u64().checked_add(address.as_u64());
    let Some(page) = page.and_then(|page| VirtAddr::try_new(page).ok()) else {
        return false;
    };
    with_tables(|mapper| mapper.translate_addr(page) == Some(address))
}

/// Calls `f` with the tables in use.
fn with_tables<R>(f: impl FnOnce(&mut OffsetPageTable<'_>) -> R) -> R {
    without_interrupts(|| {
        let _exclusive = TABLES.lock();
        let level_4 = virt(Cr3::read().0.start_address());
        // SAFETY: a level-4 table, all of physical memory is mapped, and the lock prevents a second
        // reference.
        let table = unsafe { &mut *level_4.as_mut_ptr::<PageTable>() };
        // SAFETY: as above.
        f(&mut unsafe { OffsetPageTable::new(table, virt(PhysAddr::zero())) })
    })
}
