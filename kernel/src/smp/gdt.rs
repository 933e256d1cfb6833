//! The segments of a CPU on its way: in the trampoline, and until it has descriptors of its own.

/// Null, 64-bit code, data, 32-bit code; flat (Intel SDM 3A, 3.4.5). Their accessed bits are set
/// already: the CPU would set them on first use, and fault, since the page is read-only.
pub(super) static GDT: [u64; 4] = [
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
];
pub(super) const CODE_64_SELECTOR: u16 = 1 << 3;
pub(super) const DATA_SELECTOR: u16 = 2 << 3;
pub(super) const CODE_32_SELECTOR: u16 = 3 << 3;
