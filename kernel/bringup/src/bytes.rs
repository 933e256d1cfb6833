//! Numbers and tables in bytes that may be too few. All numbers are little-endian.

pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// An ACPI table, cut to the length that its header states (ACPI 6.5, section 5.2.6); `None` if it
/// has another signature or the bytes end before it. The checksum is ignored.
pub(crate) fn table<'a>(bytes: &'a [u8], signature: &[u8; 4]) -> Option<&'a [u8]> {
    let length = read_u32(bytes, 4).filter(|_| bytes.starts_with(signature))?;
    bytes.get(..length as usize)
}
