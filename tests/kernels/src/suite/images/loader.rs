//! The loader: takes the image from QEMU, puts it where it is linked to, and destroys it again.

use core::cell::UnsafeCell;
use core::mem;
use core::ptr;

use direct::KERNEL_BASE;
use handover::PHYSICAL_MEMORY_OFFSET;
use test_image::{BASE, Exports, Imports, Start};
use x86_64::PhysAddr;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::page_table::PageTableEntry;
use x86_64::structures::paging::{PageTable, PageTableFlags};

use crate::file;

/// An ELF-64 file's segments that are loaded (gABI, "Program Header").
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    flags: u32,
    offset: usize,
    address: u64,
    bytes_in_file: usize,
    bytes: usize,
}

const EXECUTABLE: u32 = 1;
const WRITABLE: u32 = 2;

/// The image as a file, as much of it as is loaded.
pub(crate) struct Image {
    file: &'static [u8],
    entry: u64,
    segments: [Segment; 4],
}

impl Image {
    /// Takes it from QEMU, and maps the pages that it is going to lie in. Once.
    pub(crate) fn fetch() -> Self {
        let buffer = alloc::vec![0; FILE_MOST].leak();
        let file = file::read("opt/test-image", buffer);
        let file: &'static [u8] = file.expect("`cargo test --package tests -- images::` has it");
        let number = |at: usize, bytes: usize| {
            let mut number = [0; 8];
            number[..bytes].copy_from_slice(&file[at..at + bytes]);
            u64::from_le_bytes(number)
        };
        assert_eq!(file[..4], *b"\x7fELF");
        let mut segments = [Segment::default(); 4];
        let mut found = 0;
        let (headers, size) = (number(0x20, 8) as usize, number(0x36, 2) as usize);
        for header in (0..number(0x38, 2) as usize).map(|index| headers + index * size) {
            let segment = Segment {
                flags: number(header + 4, 4) as u32,
                offset: number(header + 8, 8) as usize,
                address: number(header + 16, 8),
                bytes_in_file: number(header + 32, 8) as usize,
                bytes: number(header + 40, 8) as usize,
            };
            const LOAD: u64 = 1;
            if number(header, 4) == LOAD && segment.bytes > 0 {
                segments[found] = segment;
                found += 1;
            }
        }
        let image = Self { file, entry: number(0x18, 8), segments };
        image.map();
        image
    }

    /// Puts the image in its place, and calls its first function.
    ///
    /// # Safety
    /// It is not loaded.
    pub(crate) unsafe fn load(&self, imports: &'static Imports) -> Exports {
        for segment in self.segments {
            let from = &self.file[segment.offset..][..segment.bytes_in_file];
            let rest = segment.bytes - from.len();
            let to = place(segment.address, segment.bytes);
            // SAFETY: within `MEMORY`, which nothing uses while no image is loaded.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
            // SAFETY: as above.
            unsafe { ptr::write_bytes(to.wrapping_add(from.len()), 0, rest) };
        }
        // SAFETY: the image's entry point, which is mapped, is a function of this type.
        let start = unsafe { mem::transmute::<*const (), Start>(self.entry as *const ()) };
        let mut exports = mem::MaybeUninit::<Exports>::uninit();
        // SAFETY: it is only written to.
        start(imports, unsafe { &mut *exports.as_mut_ptr() });
        // SAFETY: `start` has written it.
        unsafe { exports.assume_init() }
    }

    /// Overwrites the image: code by breakpoints, which would end this guest; all else by table
    /// entries that put every address into a sequence that starts at 0, which would, too.
    ///
    /// # Safety
    /// It is loaded, and nothing uses it any more.
    pub(crate) unsafe fn destroy(&self) {
        const BREAKPOINT: u8 = 0xcc;
        for segment in self.segments {
            let memory = place(segment.address, segment.bytes);
            if segment.flags & EXECUTABLE != 0 {
                // SAFETY: within `MEMORY`, which nothing uses, by the caller's promise.
                unsafe { ptr::write_bytes(memory, BREAKPOINT, segment.bytes) };
                continue;
            }
            let entries = memory.cast::<[u64; 2]>();
            for entry in 0..segment.bytes / size_of::<[u64; 2]>() {
                // SAFETY: as above; segments begin on page boundaries.
                unsafe { entries.wrapping_add(entry).write([0, u64::MAX]) };
            }
        }
    }

    /// Whether the image's code is at this address.
    pub(crate) fn has_code_at(&self, address: u64) -> bool {
        let mut code = self.segments.iter().filter(|s| s.flags & EXECUTABLE != 0);
        code.any(|s| (s.address..s.address + s.bytes as u64).contains(&address))
    }

    /// Maps the pages of each segment with its rights, at the image's address. (Its memory is
    /// mapped a second time as part of this guest, where it is written.)
    fn map(&self) {
        let parent = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        let [level_2, level_1] = [&LEVEL_2, &LEVEL_1].map(|table| table.0.get());
        let level_4 = table(Cr3::read().0.start_address());
        // Nothing else changes this part of the tables, and no CPU caches an absent entry.
        //
        // SAFETY: the table that this CPU uses, and its entry for the kernel.
        let upper = unsafe { entry(level_4, 511) };
        let level_3 = table(upper.addr());
        // SAFETY: the table that this entry points to.
        let this = unsafe { entry(level_3, 511) };
        assert!(this.is_unused(), "something else is at {BASE:#x}");
        this.set_addr(physical(level_2.addr()), parent);
        // SAFETY: this guest's own table.
        unsafe { entry(level_2, 0) }.set_addr(physical(level_1.addr()), parent);
        for segment in self.segments {
            let mut flags = PageTableFlags::PRESENT;
            flags.set(PageTableFlags::WRITABLE, segment.flags & WRITABLE != 0);
            flags.set(PageTableFlags::NO_EXECUTE, segment.flags & EXECUTABLE == 0);
            let first = segment.address.saturating_sub(BASE) as usize / PAGE;
            for page in first..first + segment.bytes.div_ceil(PAGE) {
                let frame = physical(MEMORY.0.get().addr() + page * PAGE);
                // SAFETY: this guest's own table.
                unsafe { entry(level_1, page) }.set_addr(frame, flags);
            }
        }
    }
}

/// # Safety
/// It is a page table, and nothing else uses this entry for as long as the reference is used.
unsafe fn entry<'a>(table: *mut PageTable, index: usize) -> &'a mut PageTableEntry {
    // SAFETY: by the caller; a table is 512 entries.
    unsafe { &mut *table.cast::<PageTableEntry>().wrapping_add(index) }
}

/// Where this guest writes what the image sees at this address.
fn place(address: u64, bytes: usize) -> *mut u8 {
    if bytes == 0 {
        return MEMORY.0.get().cast();
    }
    let offset = (address - BASE) as usize;
    assert!(offset + bytes <= MEMORY_BYTES, "the image is too large");
    MEMORY.0.get().cast::<u8>().wrapping_add(offset)
}

const PAGE: usize = 4096;
/// The most that the image may take.
const MEMORY_BYTES: usize = 16 * PAGE;
/// And its file, without what comes behind the last segment, such as symbols.
const FILE_MOST: usize = MEMORY_BYTES + 4 * PAGE;

/// Whole pages of this guest's own.
#[repr(align(4096))]
struct Pages<T>(UnsafeCell<T>);

// SAFETY: only raw pointers are taken of it, by the loader, which is called by one CPU at a time.
unsafe impl<T> Sync for Pages<T> {}

/// Of the image.
static MEMORY: Pages<[u8; MEMORY_BYTES]> = Pages(UnsafeCell::new([0; MEMORY_BYTES]));
static LEVEL_2: Pages<PageTable> = Pages(UnsafeCell::new(PageTable::new()));
static LEVEL_1: Pages<PageTable> = Pages(UnsafeCell::new(PageTable::new()));

/// The physical address of something in this guest's image.
fn physical(address: usize) -> PhysAddr {
    PhysAddr::new(address as u64 - KERNEL_BASE)
}

fn table(address: PhysAddr) -> *mut PageTable {
    (PHYSICAL_MEMORY_OFFSET + address.as_u64()) as *mut PageTable
}
