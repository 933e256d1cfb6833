//! Page tables for the start: the kernel's, with the trampoline's pages identity-mapped.
//!
//! The code that switches paging on must be mapped at its own physical address, by a root that
//! 32-bit code can load, and the kernel's may lie above 4 GiB. So a CPU first loads a root in low
//! memory: a copy of the kernel's in which only the entries that lead to the first 2 MiB are
//! replaced, level by level, each by a copy of what the kernel has there. Pages of 1 GiB or 2 MiB
//! that cover these addresses are split.

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
/// In an entry of level 2 or 3: a page, not a table. (In one of level 1 it means something else.)
const LARGE: u64 = 1 << 7;
/// The bit of the memory type that large pages have elsewhere (Intel SDM 3A, 4.9.2).
const LARGE_TYPE: u64 = 1 << 12;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const PAGE: u64 = 4096;

pub(crate) const MAX_LEVELS: usize = 5;

type Table = [u64; 512];

/// Pages that starting CPUs write, not execute; behind the one that they execute, and do not write.
pub(crate) const DATA_PAGES: usize = 2;

/// The kernel's mapping at a place: a table, a large page, nothing.
#[derive(Clone, Copy)]
enum Source {
    Table(u64),
    Page(u64),
    Absent,
}

/// Writes the tables to the `levels` frames behind the trampoline's pages, which begin at `low`;
/// the root first. `root` is the kernel's; `no_execute`: the kernel uses that bit. CPUs may still
/// be using tables from an earlier call: each entry then only changes to what the kernel has now.
/// Returns the address of the root.
///
/// # Safety
/// `virt` leads to memory at these physical addresses: to the frames, which are free, and
/// to the kernel's tables, which are intact.
pub(crate) unsafe fn build(
    virt: impl Fn(u64) -> *mut u8,
    root: u64,
    levels: usize,
    low: u64,
    no_execute: bool,
) -> u64 {
    const FIRST: u64 = 1 + DATA_PAGES as u64;
    let first = low + FIRST * PAGE;
    let data = PRESENT | WRITABLE | if no_execute { NO_EXECUTE } else { 0 };
    let mut source = Source::Table(root & ADDRESS);
    for level in (1..=levels).rev() {
        let frame = first + (levels - level) as u64 * PAGE;
        let table = virt(frame).cast::<u64>();
        let theirs = |index: usize| match source {
            // SAFETY: an entry of one of the kernel's tables. It may change, hence one load.
            Source::Table(table) => unsafe {
                virt(table).cast::<u64>().wrapping_add(index).read_volatile()
            },
            Source::Page(page) => part(page, level, index),
            Source::Absent => 0,
        };
        for index in 0..size_of::<Table>() / 8 {
            let address = index as u64 * PAGE;
            let entry = match address.wrapping_sub(low) / PAGE {
                0 if level == 1 => address | PRESENT,
                1..FIRST if level == 1 => address | data,
                // All of the trampoline's pages lie in the first 2 MiB.
                _ if level > 1 && index == 0 => (frame + PAGE) | PRESENT | WRITABLE,
                _ => theirs(index),
            };
            // SAFETY: within the frame.
            unsafe { table.wrapping_add(index).write_volatile(entry) };
        }
        source = match theirs(0) {
            entry if entry & PRESENT == 0 => Source::Absent,
            entry if level <= 3 && entry & LARGE != 0 => Source::Page(entry),
            entry => Source::Table(entry & ADDRESS),
        };
    }
    first
}

/// An entry of this level for a part of the large page whose entry is `page`.
fn part(page: u64, level: usize, index: usize) -> u64 {
    let offset = (index as u64) << (12 + 9 * (level - 1));
    if level > 1 {
        return page + offset;
    }
    let flags = page & !(ADDRESS | LARGE | LARGE_TYPE);
    let memory_type = if page & LARGE_TYPE != 0 { LARGE } else { 0 };
    ((page & ADDRESS & !LARGE_TYPE) + offset) | flags | memory_type
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{boxed::Box, vec};

    use super::*;

    /// Memory whose physical addresses begin at 0.
    struct Memory(Box<[Table]>);

    const ROOT: u64 = 0x10_000;
    const CODE: u64 = 0x8_e000;
    const DATA: u64 = 0x8_f000;
    const END: u64 = 0x9_1000;
    /// The root that is made.
    const FIRST: u64 = END;
    const GLOBAL: u64 = 1 << 8;

    impl Memory {
        fn new() -> Self {
            Self(vec![[0; 512]; 0xa0].into_boxed_slice())
        }

        fn table(&mut self, address: u64) -> &mut Table {
            &mut self.0[(address / PAGE) as usize]
        }

        fn build(&mut self, levels: usize, no_execute: bool) {
            let memory = self.0.as_mut_ptr().cast::<u8>();
            let virt = |at| memory.wrapping_add(at as usize);
            // SAFETY: all addresses in use lie in the vector.
            let root = unsafe { build(virt, ROOT, levels, CODE, no_execute) };
            assert_eq!(root, FIRST);
        }

        /// A walk as the processor does it: the entry that maps `address`, and its level.
        fn walk(&mut self, root: u64, levels: usize, address: u64) -> (u64, usize) {
            let mut table = root;
            for level in (1..=levels).rev() {
                let index = address >> (12 + 9 * (level - 1)) & 511;
                let entry = self.table(table)[index as usize];
                if entry & PRESENT == 0 || level == 1 || level <= 3 && entry & LARGE != 0 {
                    return (entry, level);
                }
                table = entry & ADDRESS;
            }
            unreachable!("level 1 returns")
        }
    }

    #[test]
    fn an_empty_lower_half_gets_the_trampoline_alone() {
        for levels in [4, 5] {
            let mut memory = Memory::new();
            memory.table(ROOT)[511] = 0x7777_7003;
            memory.build(levels, true);
            assert_eq!(memory.table(FIRST)[511], 0x7777_7003, "the kernel's half is there");
            assert_eq!(memory.walk(FIRST, levels, CODE), (CODE | PRESENT, 1));
            let data = PRESENT | WRITABLE | NO_EXECUTE;
            for page in [DATA, DATA + PAGE] {
                assert_eq!(memory.walk(FIRST, levels, page), (page | data, 1));
            }
            for other in [0, CODE - PAGE, END, 2 << 20, 1 << 30, 1 << 39] {
                let (entry, _) = memory.walk(FIRST, levels, other);
                assert_eq!(entry & PRESENT, 0, "{other:#x}");
            }
            memory.build(levels, false);
            assert_eq!(memory.walk(FIRST, levels, DATA), (DATA | PRESENT | WRITABLE, 1));
        }
    }

    /// Each way to map the first GiB one to one. The copy must translate all other addresses alike.
    #[test]
    fn a_lower_half_in_use_stays_as_it_is() {
        let rights = PRESENT | WRITABLE | GLOBAL;
        let shapes: [fn(&mut Memory, u64); 3] = [
            |memory, rights| memory.table(0x11_000)[0] = rights | LARGE | LARGE_TYPE,
            |memory, rights| {
                memory.table(0x11_000)[0] = 0x12_003;
                for (index, entry) in memory.table(0x12_000).iter_mut().enumerate() {
                    *entry = (index as u64) << 21 | rights | LARGE | NO_EXECUTE;
                }
            },
            |memory, rights| {
                memory.table(0x11_000)[0] = 0x12_003;
                memory.table(0x12_000)[0] = 0x13_003;
                for (index, entry) in memory.table(0x13_000).iter_mut().enumerate() {
                    *entry = (index as u64) << 12 | rights;
                }
            },
        ];
        for shape in shapes {
            let mut memory = Memory::new();
            memory.table(ROOT)[0] = 0x11_003;
            memory.table(0x11_000)[1] = 1 << 30 | rights | LARGE;
            shape(&mut memory, rights);
            memory.build(4, true);
            assert_eq!(memory.walk(FIRST, 4, CODE), (CODE | PRESENT, 1));
            for address in [0, 0x5_5000, CODE - PAGE, END, 0x1f_f000, 5 << 21, 1 << 30] {
                let places = [ROOT, FIRST].map(|root| {
                    let (entry, level) = memory.walk(root, 4, address);
                    let size = PAGE << (9 * (level - 1));
                    let type_bit = if level == 1 { LARGE } else { LARGE_TYPE };
                    let physical = (entry & ADDRESS & !(size - 1)) + address % size;
                    let rights = entry & (PRESENT | WRITABLE | GLOBAL | NO_EXECUTE);
                    (physical, rights, entry & type_bit != 0)
                });
                assert_eq!(places[0], places[1], "{address:#x}");
            }
        }
    }
}
