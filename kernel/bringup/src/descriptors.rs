//! Segments and gates that a CPU uses until it loads the kernel's.

/// Null, 64-bit code, data, 32-bit code; flat (Intel SDM 3A, 3.4.5). Their accessed bits are set:
/// the CPU would otherwise set them on first use, and fault, since the table is in read-only pages.
pub(crate) static GDT: [u64; 4] =
    [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00cf_9b00_0000_ffff];
const _: () = {
    const ACCESSED: u64 = 1 << 40;
    assert!(GDT[1] & GDT[2] & GDT[3] & ACCESSED != 0);
};
pub(crate) const CODE_64_SELECTOR: u16 = 1 << 3;
pub(crate) const DATA_SELECTOR: u16 = 2 << 3;
pub(crate) const CODE_32_SELECTOR: u16 = 3 << 3;

/// An interrupt gate of 32 bits, and the lower half of one of 64 bits: present, type 0xe, ring 0
/// (Intel SDM 3A, figures 6-2 and 6-8).
pub(crate) const fn gate(selector: u16, stub: u32) -> u64 {
    let stub = stub as u64;
    stub & 0xffff | (selector as u64) << 16 | 0x8e00 << 32 | (stub >> 16) << 48
}
