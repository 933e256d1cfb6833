//! Where cells lie in a framebuffer, and what their pixels are made of.

use bootloader_api::info::{FrameBufferInfo, PixelFormat};

use crate::{
    Cell, MAX_COLUMNS, MAX_ROWS,
    font::{self, HEIGHT, WIDTH},
};

/// Bytes of a pixel, at most: 16 bits for each of four channels.
const MAX_PIXEL: usize = 8;
/// 8K asks for 6.
const MAX_SCALE: usize = 8;
/// No framebuffer is larger: 8K takes 127 MiB.
const MAX_BYTES: usize = 1 << 30;
/// Less is no screen: a large word has room.
const MIN_COLUMNS: usize = 40;
const MIN_ROWS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    White,
    Green,
    Red,
}

impl Colour {
    const ALL: [[u8; 3]; 3] = [[0xe0, 0xe0, 0xe0], [0x50, 0xe0, 0x70], [0xff, 0x70, 0x60]];
}

/// A framebuffer whose geometry makes sense, and the grid on it: from the upper left corner on,
/// each pixel of the font a square of pixels, large enough to read on a large screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    width: usize,
    height: usize,
    /// Bytes from one line of pixels to the next, and of a pixel.
    pitch: usize,
    pixel: usize,
    scale: usize,
    colours: [[u8; MAX_PIXEL]; 3],
}

impl Layout {
    /// `None` if a screen cannot be like this, or has no room for text.
    #[must_use]
    pub fn new(info: &FrameBufferInfo) -> Option<Self> {
        let (width, height, pixel) = (info.width, info.height, info.bytes_per_pixel);
        let pitch = info.stride.checked_mul(pixel)?;
        let bytes = height.checked_mul(pitch)?;
        let (channels, colours) = match info.pixel_format {
            PixelFormat::Rgb => (3, Colour::ALL.map(|[r, g, b]| [r, g, b, 0, 0, 0, 0, 0])),
            PixelFormat::Bgr => (3, Colour::ALL.map(|[r, g, b]| [b, g, r, 0, 0, 0, 0, 0])),
            PixelFormat::U8 => (1, [[Colour::ALL[0][0], 0, 0, 0, 0, 0, 0, 0]; 3]),
            // Unknown bits: all of them are white.
            _ => (1, [[0xff; MAX_PIXEL]; 3]),
        };
        let scale = (width / (120 * WIDTH)).min(height / (40 * HEIGHT));
        let layout =
            Self { width, height, pitch, pixel, scale: scale.clamp(1, MAX_SCALE), colours };
        let makes_sense = (channels..=MAX_PIXEL).contains(&pixel)
            && layout.columns() >= MIN_COLUMNS
            && layout.rows() >= MIN_ROWS
            && width <= info.stride
            && bytes <= MAX_BYTES
            && layout.bytes() <= info.byte_len;
        makes_sense.then_some(layout)
    }

    #[must_use]
    pub fn columns(&self) -> usize {
        (self.width / (WIDTH * self.scale)).min(MAX_COLUMNS)
    }

    #[must_use]
    pub fn rows(&self) -> usize {
        (self.height / (HEIGHT * self.scale)).min(MAX_ROWS)
    }

    /// How many pixels of the screen a pixel of the font is wide and high.
    #[must_use]
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// Bytes of the framebuffer that are written to. (Those behind its last pixel are not.)
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.height - 1) * self.pitch + self.width * self.pixel
    }

    /// Rows and columns of all cells, row by row.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (rows, columns) = (self.rows(), self.columns());
        (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
    }

    /// Draws a cell, a line of pixels at a time: neighbours together, as write-combining likes it.
    pub(crate) fn draw(
        &self,
        row: usize,
        column: usize,
        cell: Cell,
        draw: &mut impl FnMut(usize, &[u8]),
    ) {
        let glyph = font::glyph(cell.character());
        let (zoom, left, top) = cell.zoom();
        let colour = &self.colours[cell.colour()][..self.pixel];
        let mut line = [0; WIDTH * MAX_SCALE * MAX_PIXEL];
        let line = &mut line[..WIDTH * self.scale * self.pixel];
        let mut at = row * HEIGHT * self.scale * self.pitch + column * line.len();
        for y in 0..HEIGHT {
            let bits = glyph[(top * HEIGHT + y) / zoom];
            for (x, square) in line.chunks_exact_mut(self.scale * self.pixel).enumerate() {
                let is_lit = bits & 0x80 >> ((left * WIDTH + x) / zoom) != 0;
                for pixel in square.chunks_exact_mut(self.pixel) {
                    match is_lit {
                        true => pixel.copy_from_slice(colour),
                        false => pixel.fill(0),
                    }
                }
            }
            for _ in 0..self.scale {
                draw(at, line);
                at += self.pitch;
            }
        }
    }

    pub(crate) fn clear(&self, draw: &mut impl FnMut(usize, &[u8])) {
        const BLACK: [u8; 512] = [0; 512];
        let line = self.width * self.pixel;
        for y in 0..self.height {
            for x in (0..line).step_by(BLACK.len()) {
                draw(y * self.pitch + x, &BLACK[..BLACK.len().min(line - x)]);
            }
        }
    }
}
