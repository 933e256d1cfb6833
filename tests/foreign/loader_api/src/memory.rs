//! Frames; page tables by the `x86_64` crate, whose root lies above 4 GiB if there is memory, and
//! whose lower half is in use: the first GiB one to one, and stacks.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bootloader_api::{BootInfo, info::MemoryRegionKind};
use x86_64::{
    PhysAddr, VirtAddr,
    registers::control::Cr3,
    structures::paging::{
        FrameAllocator, Mapper, OffsetPageTable, Page, PageTable, PageTableFlags as Flags, PhysFrame, Size2MiB,
        Size4KiB,
    },
};

/// Where the loader maps physical memory.
pub const OFFSET: u64 = 0xffff_8000_0000_0000;
/// In level-4 entry 0.
const APIC: u64 = 15 << 30;
const STACKS: u64 = 16 << 30;
const STACK_PAGES: u64 = 4;
const RIGHTS: Flags = Flags::PRESENT.union(Flags::WRITABLE);

/// The ends of what is left of the highest piece of memory, and of the highest below 1 MiB.
static HIGH: AtomicU64 = AtomicU64::new(0);
static LOW: AtomicU64 = AtomicU64::new(0);

pub fn virt(physical: u64) -> *mut u8 {
    (OFFSET + physical) as *mut u8
}

pub fn take_low(bytes: u64) -> Option<u64> {
    Some(LOW.fetch_sub(bytes, Relaxed) - bytes)
}

pub struct Frames;

// SAFETY: each is given away once.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let start = HIGH.fetch_sub(4096, Relaxed) - 4096;
        Some(PhysFrame::containing_address(PhysAddr::new(start)))
    }
}

pub fn init(boot_info: &BootInfo) {
    let usable = boot_info.memory_regions.iter();
    let usable = usable.filter(|region| region.kind == MemoryRegionKind::Usable);
    let ends = usable.map(|region| region.end & !0xfff);
    LOW.store(ends.clone().filter(|end| *end <= 1 << 20).max().unwrap(), Relaxed);
    HIGH.store(ends.max().unwrap(), Relaxed);
    let root = Frames.allocate_frame().unwrap();
    let (old, flags) = Cr3::read();
    let [from, to] = [old, root].map(|frame| virt(frame.start_address().as_u64()));
    // SAFETY: two tables, of which the second is not in use yet.
    unsafe { from.copy_to_nonoverlapping(to, 4096) };
    // SAFETY: it maps what the other one does.
    unsafe { Cr3::write(root, flags) };
    println!("root: {:#x}", root.start_address());
    for at in (0..1 << 30).step_by(2 << 20) {
        let frame = PhysFrame::<Size2MiB>::containing_address(PhysAddr::new(at));
        // SAFETY: nothing refers to memory by these addresses.
        unsafe { mapper().identity_map(frame, RIGHTS, &mut Frames) }.unwrap().flush();
    }
}

fn mapper() -> OffsetPageTable<'static> {
    let root = virt(Cr3::read().0.start_address().as_u64()).cast::<PageTable>();
    // SAFETY: the root in use. Only the BSP maps, before others run.
    unsafe { OffsetPageTable::new(&mut *root, VirtAddr::new(OFFSET)) }
}

fn map(page: u64, frame: PhysFrame, flags: Flags) {
    let page = Page::containing_address(VirtAddr::new(page));
    // SAFETY: pages that were not mapped before.
    unsafe { mapper().map_to(page, frame, flags | RIGHTS, &mut Frames) }.unwrap().flush();
}

pub fn map_uncached(physical: u64) -> *mut u8 {
    let frame = PhysFrame::containing_address(PhysAddr::new(physical));
    map(APIC, frame, Flags::NO_CACHE | Flags::WRITE_THROUGH);
    APIC as *mut u8
}

/// A stack above a page that is not mapped.
pub fn stack(cpu: usize) -> Option<*mut u8> {
    let top = STACKS + (cpu as u64 + 1) * (STACK_PAGES + 1) * 4096;
    for page in 1..=STACK_PAGES {
        map(top - page * 4096, Frames.allocate_frame()?, Flags::NO_EXECUTE);
    }
    Some(top as *mut u8)
}
