//! GRUB's information, and the memory that it leaves.

use core::slice;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const STACK: usize = 16 << 10;

static mut STACKS: [u8; 256 * STACK] = [0; 256 * STACK];
/// The end of the free memory that begins at 0.
static LOW_END: AtomicU64 = AtomicU64::new(0);

pub fn stack(cpu: usize) -> Option<*mut u8> {
    Some((&raw mut STACKS).wrapping_byte_add((cpu + 1) * STACK).cast())
}

pub fn take_low(bytes: u64) -> Option<u64> {
    (LOW_END.load(Relaxed) & !0xfff).checked_sub(bytes)
}

/// Where the RSDP is, and the number on the command line. Keeps the memory map's low part.
///
/// # Safety
/// `info` is what a Multiboot2 loader has passed.
pub unsafe fn read(info: *const u32) -> (Option<u64>, Option<u32>) {
    let (mut rsdp, mut number) = (None, None);
    // SAFETY: it begins with its size.
    let mut tags = unsafe { slice::from_raw_parts(info.cast::<u8>(), *info as usize) };
    // Tags (Multiboot2, 3.6), each on 8 bytes: type, size, contents.
    while let Some(tag) = tags.get(8..).filter(|rest| rest.len() >= 8) {
        let size = u32_at(tag, 4) as usize;
        let contents = &tag[8..size];
        match u32_at(tag, 0) {
            1 => number = str::from_utf8(contents).ok().and_then(|line| line.trim_end_matches('\0').parse().ok()),
            6 => LOW_END.store(low_end(&contents[8..]), Relaxed),
            // Copies of the RSDP, the newer one last.
            14 | 15 => rsdp = Some(contents.as_ptr() as u64),
            _ => {}
        }
        tags = &tags[size.next_multiple_of(8)..];
    }
    (rsdp, number)
}

/// The end of the usable memory (type 1) from 0 on. Entries of 24 bytes: start, length, type.
fn low_end(entries: &[u8]) -> u64 {
    let is_low = |entry: &&[u8]| u32_at(entry, 0) == 0 && u32_at(entry, 4) == 0 && entry[16] == 1;
    entries.chunks_exact(24).find(is_low).map_or(0, |entry| u32_at(entry, 8).into())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}
