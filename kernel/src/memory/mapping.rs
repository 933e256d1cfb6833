//! New mappings in the kernel's page tables.

use spin::mutex::SpinMutex;
use x86_64::{
    PhysAddr, VirtAddr,
    instructions::interrupts::without_interrupts,
    registers::control::Cr3,
    structures::paging::{
        Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame, Size4KiB, Translate,
    },
};

use super::{
    frames::{FRAMES, TableFrames},
    window::virt,
};

/// Held while the tables are changed, with interrupts off, since handlers may do so. New mappings only:
/// nothing that a CPU may have cached is taken away, so there is nothing to flush on other CPUs.
static TABLES: SpinMutex<()> = SpinMutex::new(());

/// Maps the page at `page` to `frame`, writable, not executable, with `extra` flags.
///
/// # Panics
/// If the page is mapped already or memory for tables runs out.
pub(crate) fn map(page: VirtAddr, frame: PhysAddr, extra: PageTableFlags) {
    let flags =
        PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE | extra;
    map_with(Cr3::read().0, page, frame, flags);
}

/// Maps the page at `page` to `frame` with exactly these flags, in the tables under `level_4`.
///
/// # Panics
/// As [`map`].
pub(crate) fn map_with(level_4: PhysFrame, page: VirtAddr, frame: PhysAddr, flags: PageTableFlags) {
    without_interrupts(|| {
        let _exclusive = TABLES.lock();
        insert(level_4, page, frame, flags);
    });
}

/// As [`map_with`], unless the page is mapped to that frame already.
///
/// # Panics
/// As [`map`]; in particular, if the page is mapped to another frame.
pub(crate) fn map_if_new(
    level_4: PhysFrame,
    page: VirtAddr,
    frame: PhysAddr,
    flags: PageTableFlags,
) {
    without_interrupts(|| {
        let _exclusive = TABLES.lock();
        // SAFETY: as in `insert`; nothing is changed.
        let table = unsafe { &mut *virt(level_4.start_address()).as_mut_ptr::<PageTable>() };
        // SAFETY: as in `insert`.
        let mapper = unsafe { OffsetPageTable::new(table, virt(PhysAddr::zero())) };
        if mapper.translate_addr(page) != Some(frame) {
            insert(level_4, page, frame, flags);
        }
    });
}

/// Whether this physical address is mapped where all of memory is.
pub(crate) fn is_mapped(address: PhysAddr) -> bool {
    let page = virt(PhysAddr::zero())
        .as_u64()
        .checked_add(address.as_u64());
    let Some(page) = page.and_then(|page| VirtAddr::try_new(page).ok()) else {
        return false;
    };
    without_interrupts(|| {
        let _exclusive = TABLES.lock();
        // SAFETY: as in `insert`; nothing is changed.
        let table = unsafe { &mut *virt(Cr3::read().0.start_address()).as_mut_ptr::<PageTable>() };
        // SAFETY: as in `insert`.
        let mapper = unsafe { OffsetPageTable::new(table, virt(PhysAddr::zero())) };
        mapper.translate_addr(page) == Some(address)
    })
}

/// The one who calls this has the lock.
fn insert(level_4: PhysFrame, page: VirtAddr, frame: PhysAddr, flags: PageTableFlags) {
    const PARENT: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE);
    // SAFETY: the frame holds a level-4 table, all of physical memory is mapped, and the lock
    // keeps others from making a second reference.
    let table = unsafe { &mut *virt(level_4.start_address()).as_mut_ptr::<PageTable>() };
    // SAFETY: as above.
    let mut mapper = unsafe { OffsetPageTable::new(table, virt(PhysAddr::zero())) };
    let page = Page::<Size4KiB>::containing_address(page);
    let frame = PhysFrame::containing_address(frame);
    // SAFETY: the callers map frames that they have just taken or device registers, at addresses
    // that were not mapped before (else the call fails), so no reference can be broken.
    match unsafe { mapper.map_to_with_table_flags(page, frame, flags, PARENT, &mut TableFrames) } {
        Ok(flush) => flush.flush(),
        Err(error) => panic!("cannot map {page:?}: {error:?}"),
    }
}

/// A new level-4 table with the upper half of the current one: the kernel's half. It lies below 4 GiB,
/// since 32-bit code is to load it.
///
/// # Panics
/// If memory below 4 GiB runs out.
pub(crate) fn new_level_4() -> PhysFrame {
    let frame = FRAMES
        .take_below(4096, 1 << 32)
        .expect("a frame below 4 GiB");
    let current = virt(Cr3::read().0.start_address()).as_ptr::<PageTable>();
    // SAFETY: the frame was just taken; a table is as large as a frame.
    let table = unsafe { &mut *virt(frame).as_mut_ptr::<PageTable>() };
    table.zero();
    for index in 256..512 {
        // SAFETY: the current level-4 table, mapped; its upper half does not change any more: all
        // regions the kernel uses have been touched on the BSP.
        table[index] = unsafe { (&(*current))[index].clone() };
    }
    PhysFrame::containing_address(frame)
}
