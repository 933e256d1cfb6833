//! From pixels back to text: the font is known.

use core::array;

use crate::{
    LARGE,
    font::{self, HEIGHT, WIDTH},
    layout::Layout,
};

/// Reads a screen whose pixels are lit or not, row by row, each ended by a line feed. A row of
/// large text is one row; anything that is no glyph is U+FFFD.
pub fn text(
    layout: &Layout,
    is_lit: impl Fn(usize, usize) -> bool,
    mut character: impl FnMut(char),
) {
    let mut row = 0;
    while row < layout.rows() {
        let glyph = |zoom, column| glyph_at(layout, row, column, zoom, &is_lit);
        let columns = |zoom| 0..layout.columns() / zoom;
        let is_readable =
            |zoom: &usize| columns(*zoom).all(|column| glyph(*zoom, column).is_some());
        let fits = |zoom: &usize| row + zoom <= layout.rows();
        let zoom = [1, LARGE].into_iter().filter(fits).find(is_readable);
        let zoom = zoom.unwrap_or(1);
        for column in columns(zoom) {
            character(glyph(zoom, column).map_or(char::REPLACEMENT_CHARACTER, char::from));
        }
        character('\n');
        row += zoom;
    }
}

/// The character, enlarged `zoom` times, at this row and enlarged column, by the squares' middles.
fn glyph_at(
    layout: &Layout,
    row: usize,
    column: usize,
    zoom: usize,
    is_lit: &impl Fn(usize, usize) -> bool,
) -> Option<u8> {
    let middle = |pixel: usize| (pixel * zoom + zoom / 2) * layout.scale() + layout.scale() / 2;
    let top = row * HEIGHT * layout.scale();
    let line = |y: usize| {
        let is_lit = |x| is_lit(middle(column * WIDTH + x), top + middle(y));
        (0..WIDTH).fold(0, |bits, x| bits << 1 | u8::from(is_lit(x)))
    };
    let lines: [u8; HEIGHT] = array::from_fn(line);
    (b' '..=b'~').find(|byte| font::glyph(*byte) == lines)
}
