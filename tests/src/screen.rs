//! What a guest's screen shows: QEMU's monitor dumps it as a picture, and the kernel's font is known.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bootloader_api::info::{FrameBufferInfo, PixelFormat};
use textmode::{Layout, read};

/// The text in a picture that QEMU's `screendump` has written (PPM, three bytes a pixel), a line for each row, without
/// the blanks at its end, and without the blank rows below. What is no glyph is U+FFFD.
///
/// # Errors
/// It is no such picture, or not all of it, or too small for a screen.
pub fn text_of(ppm: &[u8]) -> Result<String> {
    let mut fields = ppm.splitn(4, |byte| byte.is_ascii_whitespace());
    let mut field = || fields.next().context("the picture's header is cut");
    let (magic, width, height, rest) = (field()?, field()?, field()?, field()?);
    let number = |field| anyhow::Ok(str::from_utf8(field)?.parse::<usize>()?);
    let pixels = rest.strip_prefix(b"255\n").context("not 255 to a colour")?;
    if magic != b"P6" {
        bail!("no PPM");
    }
    let info = FrameBufferInfo {
        byte_len: pixels.len(),
        width: number(width)?,
        height: number(height)?,
        pixel_format: PixelFormat::Rgb,
        bytes_per_pixel: 3,
        stride: number(width)?,
    };
    let layout =
        Layout::new(&info).with_context(|| format!("not all of it, or no screen: {info:?}"))?;
    let is_lit = |x, y| {
        pixels[(y * info.width + x) * 3..][..3]
            .iter()
            .any(|byte| *byte >= 0x80)
    };
    let mut text = String::new();
    read::text(&layout, is_lit, |character| text.push(character));
    let rows: Vec<_> = text.lines().map(str::trim_end).collect();
    Ok(rows.join("\n").trim_end().to_owned())
}

/// Starts QEMU, looks at its screen until that shows `wanted`, and returns the text that is then on it. The
/// picture stays in the file `picture`.
///
/// # Errors
/// QEMU does not start or has ended, or the text does not come by the deadline; with the last text.
pub fn until(
    qemu: &mut Command,
    wanted: &str,
    deadline: Duration,
    picture: &Path,
) -> Result<String> {
    let end = Instant::now() + deadline;
    qemu.args(["-display", "none", "-monitor", "stdio"]);
    let qemu = qemu.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut qemu = Killed(qemu.spawn().context("QEMU does not start")?);
    let mut last = String::new();
    while Instant::now() < end {
        let monitor = qemu.0.stdin.as_mut().context("piped")?;
        writeln!(monitor, "screendump {}", picture.display()).context("QEMU has ended")?;
        thread::sleep(Duration::from_millis(500));
        // Until the kernel runs there is no text of its own, and a picture may be half written.
        if let Ok(text) = fs::read(picture)
            .map_err(Into::into)
            .and_then(|ppm| text_of(&ppm))
        {
            last = text;
        }
        if last.contains(wanted) {
            return Ok(last);
        }
    }
    bail!("{wanted:?} is not on the screen after {deadline:?}, but:\n{last}")
}

/// Killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use textmode::{Colour, Grid, Terminal};

    use super::*;

    #[test]
    fn a_picture_is_read() {
        let (width, height) = (1920, 1280);
        let mut picture = format!("P6\n{width} {height}\n255\n").into_bytes();
        let header = picture.len();
        picture.resize(header + width * height * 3, 0);
        let layout = Layout::new(&FrameBufferInfo {
            byte_len: width * height * 3,
            width,
            height,
            pixel_format: PixelFormat::Rgb,
            bytes_per_pixel: 3,
            stride: width,
        });
        let (layout, grid) = (layout.expect("sensible"), Grid::new());
        let draw =
            |at: usize, bytes: &[u8]| picture[header + at..][..bytes.len()].copy_from_slice(bytes);
        let mut screen = Terminal::new(&grid, &layout, draw);
        writeln!(screen, "[0] two  words ").expect("written");
        screen.large("PASSED", Colour::Green);
        assert_eq!(
            text_of(&picture).expect("a picture"),
            "[0] two  words\n\nPASSED"
        );

        picture[header..][..3].fill(0xff);
        // Only squares' middles are looked at: the corner of one changes nothing.
        assert!(text_of(&picture).expect("a picture").starts_with("[0]"));
        for y in 0..32 {
            picture[header + y * width * 3..][..48].fill(0xff);
        }
        assert!(
            text_of(&picture)
                .expect("a picture")
                .starts_with("\u{fffd}0]")
        );
        picture.pop();
        assert!(text_of(&picture).is_err(), "cut");
        assert!(text_of(b"P5\n8 8\n255\n").is_err(), "grey");
    }
}
