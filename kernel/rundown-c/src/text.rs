//! Text for C: in fixed memory, ended by a zero.

use core::ffi::{CStr, c_char};
use core::fmt;

/// A message in `CAPACITY` bytes, with the zero at its end. A longer one is cut off.
pub(crate) struct Text<const CAPACITY: usize = 256> {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl<const CAPACITY: usize> Text<CAPACITY> {
    pub(crate) fn of(message: impl fmt::Display) -> Self {
        let mut text = Self { bytes: [0; CAPACITY], length: 0 };
        // `write_str` never fails; a `Display` that does has written what it could.
        let _ = fmt::write(&mut text, format_args!("{message}"));
        text
    }

    pub(crate) fn as_ptr(&self) -> *const c_char {
        let text = CStr::from_bytes_until_nul(&self.bytes);
        text.map_or(c"(no text)".as_ptr(), CStr::as_ptr)
    }
}

impl<const CAPACITY: usize> fmt::Write for Text<CAPACITY> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        // The last byte stays zero.
        let room = &mut self.bytes[self.length..CAPACITY - 1];
        let mut fits = room.len().min(part.len());
        while !part.is_char_boundary(fits) {
            fits -= 1;
        }
        room[..fits].copy_from_slice(&part.as_bytes()[..fits]);
        self.length += fits;
        Ok(())
    }
}
