extern crate std;

use core::fmt::Write as _;
use std::{format, string::String, string::ToString, vec, vec::Vec};

use bootloader_api::info::{FrameBufferInfo, PixelFormat};

use super::{Colour, Grid, Layout, Terminal, font, read};

fn info(width: usize, height: usize) -> FrameBufferInfo {
    FrameBufferInfo {
        byte_len: width * height * 4,
        width,
        height,
        pixel_format: PixelFormat::Bgr,
        bytes_per_pixel: 4,
        stride: width,
    }
}

/// A framebuffer in memory.
struct Screen {
    info: FrameBufferInfo,
    layout: Layout,
    grid: Grid,
    memory: Vec<u8>,
    /// Bytes drawn since it was last asked.
    drawn: usize,
}

/// Memory before anything is drawn: neither black nor lit.
const UNTOUCHED: u8 = 0x11;

impl Screen {
    fn new(info: FrameBufferInfo) -> Self {
        Self {
            info,
            layout: Layout::new(&info).expect("sensible"),
            grid: Grid::new(),
            memory: vec![UNTOUCHED; info.byte_len],
            drawn: 0,
        }
    }

    fn with(&mut self, f: impl FnOnce(&mut Terminal<'_, &mut dyn FnMut(usize, &[u8])>)) {
        let mut draw = |at: usize, bytes: &[u8]| {
            self.memory[at..][..bytes.len()].copy_from_slice(bytes);
            self.drawn += bytes.len();
        };
        f(&mut Terminal::new(&self.grid, &self.layout, &mut draw));
    }

    fn write(&mut self, text: &str) {
        self.with(|screen| screen.write_str(text).expect("written"));
    }

    fn block(&mut self, text: &str) {
        self.with(|screen| screen.block(|out| out.write_str(text).expect("written")));
    }

    /// The rows, without blanks at their ends and the blank ones below.
    fn text(&self) -> String {
        let mut text = String::new();
        let bytes = self.info.bytes_per_pixel;
        let pixel = |x, y| &self.memory[(y * self.info.stride + x) * bytes..][..bytes];
        let is_lit = |x, y| pixel(x, y).iter().any(|byte| *byte > 0x80);
        read::text(&self.layout, is_lit, |character| text.push(character));
        let rows: Vec<_> = text.lines().map(str::trim_end).collect();
        rows.join("\n").trim_end().to_string()
    }
}

#[test]
fn every_character_is_read_back_on_every_kind_of_framebuffer() {
    let printable: String = (b' '..=b'~').map(char::from).collect();
    let formats = [
        (PixelFormat::Rgb, 3),
        (PixelFormat::Bgr, 3),
        (PixelFormat::Rgb, 4),
        (PixelFormat::U8, 1),
        (PixelFormat::U8, 2),
        (PixelFormat::Unknown { red_position: 11, green_position: 5, blue_position: 0 }, 2),
    ];
    let (width, height) = (800, 600);
    for (pixel_format, bytes_per_pixel) in formats {
        for padding in [0, 1, 24] {
            let stride = width + padding;
            let mut screen = Screen::new(FrameBufferInfo {
                // Behind the last pixel there need be nothing.
                byte_len: (stride * height - padding) * bytes_per_pixel,
                pixel_format,
                bytes_per_pixel,
                stride,
                ..info(width, height)
            });
            screen.write(&printable);
            assert_eq!(screen.text(), printable, "{:?}", screen.info);
            screen.with(|screen| screen.redraw());
            assert_eq!(screen.text(), printable, "{:?}", screen.info);
            let lines = screen.memory.chunks(stride * bytes_per_pixel);
            let mut behind = lines.filter_map(|line| line.get(width * bytes_per_pixel..)).flatten();
            assert!(behind.all(|byte| *byte == UNTOUCHED), "{:?}", screen.info);
        }
    }
}

#[test]
fn each_format_has_its_order_of_colours() {
    for (pixel_format, bytes_per_pixel, red) in [
        (PixelFormat::Rgb, 4, &[0xff, 0x70, 0x60, 0][..]),
        (PixelFormat::Bgr, 3, &[0x60, 0x70, 0xff]),
        (PixelFormat::U8, 1, &[0xe0]),
    ] {
        let info = FrameBufferInfo { pixel_format, bytes_per_pixel, ..info(640, 480) };
        let mut screen = Screen::new(info);
        screen.with(|screen| screen.large("#", Colour::Red));
        assert!(screen.memory.chunks(bytes_per_pixel).any(|pixel| pixel == red), "{info:?}");
    }
}

#[test]
fn a_large_screen_is_readable() {
    for (width, height, scale, columns, rows) in [
        (640, 480, 1, 80, 30),
        (1920, 1080, 1, 240, 67),
        (2560, 1440, 2, 160, 45),
        (7680, 4320, 6, 160, 45),
        // A screen that is too wide stays black on the right.
        (5120, 600, 1, 240, 37),
    ] {
        let layout = Layout::new(&info(width, height)).expect("sensible");
        let found = (layout.scale(), layout.columns(), layout.rows());
        assert_eq!(found, (scale, columns, rows), "{width}x{height}");
    }
    let mut screen = Screen::new(info(3840, 2160));
    screen.write("readable");
    assert_eq!(screen.text(), "readable");
}

#[test]
fn nonsense_is_refused() {
    const MAX: usize = usize::MAX;
    let of = |(width, height, stride, bytes_per_pixel, byte_len)| {
        let info = FrameBufferInfo { stride, bytes_per_pixel, byte_len, ..info(width, height) };
        Layout::new(&info)
    };
    let all = 800 * 600 * 4;
    assert!(of((800, 600, 800, 4, all)).is_some());
    for bad in [
        (800, 600, 800, 4, all - 1),
        (800, 600, 799, 4, all),
        (800, 600, MAX, 4, all),
        (800, 600, MAX / 4, 4, MAX),
        (800, 600, 800, 0, all),
        (800, 600, 800, 9, MAX),
        (0, 600, 800, 4, all),
        (800, 0, 800, 4, all),
        (300, 600, 800, 4, all),
        (800, 100, 800, 4, all),
        (800, 1 << 20, 800, 4, MAX),
    ] {
        assert_eq!(of(bad), None, "{bad:?}");
    }
}

#[test]
fn text_wraps_and_scrolls_and_only_what_changes_is_drawn() {
    let mut screen = Screen::new(info(640, 480));
    screen.write(&format!("{}\n", "x".repeat(85)));
    assert_eq!(screen.text(), format!("{}\nxxxxx", "x".repeat(80)));
    let lines = (0..100).map(|line| format!("line {line}\n")).collect::<Vec<_>>();
    screen.write(&lines.concat());
    // The last row is not wasted on the cursor.
    assert_eq!(screen.text(), lines[70..].concat().trim_end());
    screen.write("5µs naïve →\n");
    assert!(screen.text().ends_with("line 99\n5us na?ve ?"), "{}", screen.text());
    screen.write(&"the same\n".repeat(30));
    screen.drawn = 0;
    screen.write("the same!\n");
    // It scrolls: in the last row the cursor writes over blanks, and the others stay as they are.
    assert_eq!(screen.drawn, (2 * "thesame".len() + 1) * font::WIDTH * font::HEIGHT * 4);
}

#[test]
fn a_block_is_redrawn_in_place() {
    let mut screen = Screen::new(info(640, 480));
    screen.write("before\n");
    screen.block("one\ntwo is longer\nthree\n");
    assert_eq!(screen.text(), "before\none\ntwo is longer\nthree");
    screen.block("four\n\n");
    assert_eq!(screen.text(), "before\nfour");
    screen.write("between\n");
    screen.block(&format!("five {}\nsix", "x".repeat(100)));
    let five = format!("five {}", "x".repeat(75));
    // Where the one above ended with a blank line, that stays.
    assert_eq!(screen.text(), format!("before\nfour\n\nbetween\n{five}\nsix"));
    screen.block("seven");
    screen.write("\nafter");
    assert_eq!(screen.text(), "before\nfour\n\nbetween\nseven\nafter");
}

#[test]
fn a_block_scrolls_up_to_the_top_and_is_cut_there() {
    let mut screen = Screen::new(info(640, 480));
    let rows = |count: usize| (0..count).map(|row| format!("row {row}\n")).collect::<String>();
    screen.write(&rows(25));
    for _ in 0..2 {
        screen.block(&rows(10));
        assert!(screen.text().starts_with("row 5\nrow 6\n"), "{}", screen.text());
        assert!(screen.text().ends_with(&format!("row 24\n{}", rows(10).trim_end())));
    }
    for _ in 0..2 {
        screen.block(&rows(64));
        assert_eq!(screen.text(), rows(30).trim_end());
    }
    screen.write("after\n");
    assert!(screen.text().starts_with("row 1\n"));
    assert!(screen.text().ends_with("row 29\nafter"));
}

#[test]
fn large_text_is_read_back_wherever_it_scrolls() {
    let mut screen = Screen::new(info(640, 480));
    screen.write("small");
    screen.with(|screen| screen.large("PASSED", Colour::Green));
    screen.write("done\n");
    assert_eq!(screen.text(), "small\n\nPASSED\ndone");
    (0..25).for_each(|_| screen.write("\n."));
    assert!(screen.text().starts_with("PASSED\ndone"), "{}", screen.text());
}

#[test]
fn a_write_within_a_write_does_not_panic_and_a_redraw_repairs_the_screen() {
    let info = info(640, 480);
    let layout = Layout::new(&info).expect("sensible");
    let grid = Grid::new();
    let mut lines = 0;
    // As an NMI: in the middle of any glyph, it writes lines of its own.
    let mut nested = |_: usize, _: &[u8]| {
        lines += 1;
        if lines % 101 == 0 {
            let text = "n".repeat(lines % 100);
            let mut terminal = Terminal::new(&grid, &layout, |_: usize, _: &[u8]| {});
            writeln!(terminal, "{text}").expect("written");
        }
    };
    let mut terminal = Terminal::new(&grid, &layout, &mut nested);
    (0..35).for_each(|line| writeln!(terminal, "line {line}").expect("written"));
    terminal.block(|out| out.write_str(&"block\n".repeat(40)).expect("written"));
    terminal.large("LARGE", Colour::Red);

    let mut screen = Screen::new(info);
    screen.grid = grid;
    screen.with(|screen| screen.redraw());
    let lines: String = (0..30).map(|line| format!("\nafter {line}")).collect();
    screen.write(&lines);
    assert_eq!(screen.text(), lines[1..]);
}
