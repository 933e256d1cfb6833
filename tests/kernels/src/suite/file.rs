//! Files that QEMU hands to the guest, by its option `-fw_cfg name=<name>,file=<path>` (QEMU,
//! `docs/specs/fw_cfg.rst`): one device of two ports, to choose a file and to read it byte by byte.

use x86_64::instructions::port::Port;

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
/// The list of files.
const DIRECTORY: u16 = 0x19;

/// The file's bytes, as many as `buffer` has room for; `None` if there is no such file.
pub(crate) fn read<'a>(name: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    select(DIRECTORY);
    let count = u32::from_be_bytes(bytes());
    for _ in 0..count {
        let size = u32::from_be_bytes(bytes());
        let selector = u16::from_be_bytes(bytes());
        let _reserved: [u8; 2] = bytes();
        let this: [u8; 56] = bytes();
        if this.starts_with(name.as_bytes()) && this[name.len()] == 0 {
            select(selector);
            let length = buffer.len().min(size as usize);
            let bytes = &mut buffer[..length];
            bytes.fill_with(byte);
            return Some(bytes);
        }
    }
    None
}

fn select(file: u16) {
    // SAFETY: the device that every PC of QEMU's has at this port; it touches nothing else.
    unsafe { Port::<u16>::new(SELECTOR).write(file) };
}

fn byte() -> u8 {
    // SAFETY: as above.
    unsafe { Port::<u8>::new(DATA).read() }
}

fn bytes<const N: usize>() -> [u8; N] {
    [(); N].map(|()| byte())
}
