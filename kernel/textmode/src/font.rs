//! The font: Spleen 8x16, one bit a pixel: can be enlarged by whole numbers and read back exactly.
//!
//! Spleen is Copyright (c) 2018-2024 Frederic Cambus, under the BSD 2-clause licence, which comes
//! with crate `spleen-font`. Of that crate only the font's bytes are used: its reader takes a PSF1
//! header's mode for the height, and finds no glyph in this file.

use spleen_font::FONT_8X16;

/// Pixels in a row of a glyph: its bits, the leftmost the highest.
pub const WIDTH: usize = 8;
/// Rows of a glyph: its bytes.
pub const HEIGHT: usize = 16;

/// A PSF1 file begins with its magic, mode and height (Linux: `include/uapi/linux/kd.h`,
/// `lib/fonts`; the format's own description is `psf(5)` of kbd); then the glyphs follow, the first
/// 128 of them in ASCII's order.
const HEADER: usize = 4;
const _: () = {
    assert!(FONT_8X16[0] == 0x36 && FONT_8X16[1] == 0x04, "PSF1");
    assert!(FONT_8X16[3] as usize == HEIGHT);
};

/// Whether a byte has a glyph: ASCII's printable characters.
#[must_use]
pub fn has(byte: &u8) -> bool {
    (b' '..=b'~').contains(byte)
}

/// A character's rows, the top one first.
///
/// # Panics
/// If it [has](has()) none.
#[must_use]
pub fn glyph(byte: u8) -> &'static [u8] {
    assert!(has(&byte));
    &FONT_8X16[HEADER + usize::from(byte) * HEIGHT..][..HEIGHT]
}
