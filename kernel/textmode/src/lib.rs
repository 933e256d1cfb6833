//! Text on a framebuffer: a grid of characters, of which only those that change are drawn.
//!
//! A framebuffer is slow to write and far slower to read, so nothing is ever read back from it: the
//! [`Grid`] knows what is on the screen, and scrolling draws only the cells that differ from those
//! above them. The grid is made of atomics, because a write may be interrupted by an NMI or an
//! exception that writes, too: then lines may be mixed up until the next
//! [`redraw`](Terminal::redraw), but nothing waits.
//!
//! - [`layout`]: where cells lie in a framebuffer, and what their pixels are made of;
//! - [`font`]: the glyphs;
//! - [`read`]: from pixels back to text, for tests.
#![no_std]
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "names that say it need no other words")]

pub mod font;
pub mod layout;
pub mod read;

use core::{
    fmt,
    sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed},
};

pub use layout::{Colour, Layout};

/// Cells in a row, and rows, that a grid has room for. More of a framebuffer stays black.
pub const MAX_COLUMNS: usize = 240;
pub const MAX_ROWS: usize = 80;

/// How many times as wide and high [large](Terminal::large) text is.
pub const LARGE: usize = 3;

/// One cell: a character, or one of the parts that a large one is cut into, so that scrolling need
/// not know of large text. Zero is a blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell(u16);

impl Cell {
    const BLANK: Self = Self(0);

    /// Characters without a glyph are question marks; `Duration`'s micro sign is a u.
    fn of(character: char) -> Self {
        let character = if character == 'µ' { 'u' } else { character };
        let byte = u8::try_from(character).ok().filter(font::has);
        Self(u16::from(byte.unwrap_or(b'?') - b' '))
    }

    fn part(self, x: usize, y: usize, colour: Colour) -> Self {
        Self(self.0 | 1 << 7 | (x as u16) << 8 | (y as u16) << 10 | (colour as u16) << 12)
    }

    fn character(self) -> u8 {
        b' ' + (self.0 & 0x7f) as u8
    }

    /// How much it is enlarged, and which part it is, from the left and from the top.
    fn zoom(self) -> (usize, usize, usize) {
        let part = |shift: u16| usize::from(self.0 >> shift & 3);
        match self.0 >> 7 & 1 {
            0 => (1, 0, 0),
            _ => (LARGE, part(8), part(10)),
        }
    }

    fn colour(self) -> usize {
        usize::from(self.0 >> 12)
    }
}

/// The screen's contents. All accesses are relaxed: a lock of the user's orders them, or nothing
/// does (see the crate's documentation).
#[derive(Debug)]
pub struct Grid {
    cells: [AtomicU16; MAX_COLUMNS * MAX_ROWS],
    /// The row of the next character. One past the last row until there is one: only then does the
    /// text scroll, so that the last row is no blank one.
    row: AtomicUsize,
    column: AtomicUsize,
    /// 1 + the first row of the [block](Terminal::block) that the next one replaces; 0: none.
    block: AtomicUsize,
}

impl Grid {
    /// All blank.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static is all there is")]
    pub const fn new() -> Self {
        Self {
            cells: [const { AtomicU16::new(Cell::BLANK.0) }; MAX_COLUMNS * MAX_ROWS],
            row: AtomicUsize::new(0),
            column: AtomicUsize::new(0),
            block: AtomicUsize::new(0),
        }
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        Cell(self.cells[row * MAX_COLUMNS + column].load(Relaxed))
    }
}

/// A grid on a framebuffer that `draw` writes to: bytes, and where they go.
#[derive(Debug)]
pub struct Terminal<'a, D> {
    grid: &'a Grid,
    layout: &'a Layout,
    draw: D,
    is_in_block: bool,
}

impl<'a, D: FnMut(usize, &[u8])> Terminal<'a, D> {
    /// Draws nothing yet. A grid keeps to one layout.
    pub fn new(grid: &'a Grid, layout: &'a Layout, draw: D) -> Self {
        Self { grid, layout, draw, is_in_block: false }
    }

    /// Draws everything anew, and what lies around the grid in black: after the framebuffer has
    /// moved, or when its contents may be wrong.
    pub fn redraw(&mut self) {
        self.layout.clear(&mut self.draw);
        for (row, column) in self.layout.cells() {
            let cell = self.grid.cell(row, column);
            if cell != Cell::BLANK {
                self.layout.draw(row, column, cell, &mut self.draw);
            }
        }
    }

    /// Text that replaces the block before it, in place, unless other text has come in between. Its
    /// lines are cut at the screen's edge, and what does not fit below is left out.
    pub fn block(&mut self, write: impl FnOnce(&mut dyn fmt::Write)) {
        match self.grid.block.load(Relaxed) {
            0 => {
                if self.grid.column.load(Relaxed) > 0 {
                    self.end_line();
                }
                let row = self.room().unwrap_or_default();
                self.grid.block.store(row + 1, Relaxed);
            }
            row => self.go_to(row - 1, 0),
        }
        self.is_in_block = true;
        write(self);
        self.is_in_block = false;
        // Of a longer one before it, nothing stays.
        let end = (self.grid.row.load(Relaxed), self.grid.column.load(Relaxed));
        for (row, column) in self.layout.cells().filter(|place| *place >= end) {
            self.put(row, column, Cell::BLANK);
        }
    }

    /// A line of large text, below a blank line.
    pub fn large(&mut self, text: &str, colour: Colour) {
        self.grid.block.store(0, Relaxed);
        if self.grid.column.load(Relaxed) > 0 {
            self.end_line();
        }
        self.end_line();
        for y in 0..LARGE {
            for character in text.chars() {
                for x in 0..LARGE {
                    self.advance(Cell::of(character).part(x, y, colour));
                }
            }
            self.end_line();
        }
    }

    /// Scrolls if necessary, and returns the cursor's row; `None`: a block fills the screen.
    fn room(&mut self) -> Option<usize> {
        let row = self.grid.row.load(Relaxed);
        if row < self.layout.rows() {
            return Some(row);
        }
        let block = self.grid.block.load(Relaxed);
        if self.is_in_block && block <= 1 {
            return None;
        }
        self.grid.block.store(block.saturating_sub(1), Relaxed);
        let last = self.layout.rows() - 1;
        for (row, column) in self.layout.cells() {
            let below = (row < last).then(|| self.grid.cell(row + 1, column));
            self.put(row, column, below.unwrap_or(Cell::BLANK));
        }
        self.grid.row.store(last, Relaxed);
        Some(last)
    }

    fn advance(&mut self, cell: Cell) {
        let mut column = self.grid.column.load(Relaxed);
        if column >= self.layout.columns() {
            if self.is_in_block {
                return;
            }
            self.end_line();
            column = 0;
        }
        if let Some(row) = self.room() {
            self.put(row, column, cell);
            self.go_to(row, column + 1);
        }
    }

    fn end_line(&mut self) {
        let Some(row) = self.room() else { return };
        for column in self.grid.column.load(Relaxed)..self.layout.columns() {
            self.put(row, column, Cell::BLANK);
        }
        self.go_to(row + 1, 0);
    }

    fn go_to(&self, row: usize, column: usize) {
        self.grid.row.store(row, Relaxed);
        self.grid.column.store(column, Relaxed);
    }

    fn put(&mut self, row: usize, column: usize, cell: Cell) {
        if self.grid.cell(row, column) != cell {
            self.grid.cells[row * MAX_COLUMNS + column].store(cell.0, Relaxed);
            self.layout.draw(row, column, cell, &mut self.draw);
        }
    }
}

impl<D: FnMut(usize, &[u8])> fmt::Write for Terminal<'_, D> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.is_in_block {
            self.grid.block.store(0, Relaxed);
        }
        for character in text.chars() {
            match character {
                '\n' => self.end_line(),
                _ => self.advance(Cell::of(character)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
