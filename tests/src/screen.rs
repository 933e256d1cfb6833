//! Reads a guest's screen: QEMU's monitor dumps it as a picture, and the kernel's font is known.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, anyhow, bail};
use bootloader_api::info::{FrameBufferInfo, PixelFormat};
use serde_json::{Value, json};
use textmode::{Layout, read};

/// The text in a picture that QEMU's `screendump` has written (PPM, three bytes a pixel): a line
/// with its size, then one for each row, without the blanks at its end and the blank rows below.
/// U+FFFD stands for no glyph.
fn text_of(ppm: &[u8]) -> Result<String> {
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
    let is_lit = |x, y| pixels[(y * info.width + x) * 3..][..3].iter().any(|byte| *byte >= 0x80);
    let mut text = format!("{}x{}\n", info.width, info.height);
    read::text(&layout, is_lit, |character| text.push(character));
    let rows: Vec<_> = text.lines().map(str::trim_end).collect();
    Ok(rows.join("\n").trim_end().to_owned())
}

/// Has `boot` start QEMU with these further arguments, looks at its screen until that shows
/// `wanted`, and ends it. Returns what `boot` does, and the screen's size and last text.
pub fn until<R>(wanted: &str, boot: impl FnOnce([String; 4]) -> R) -> Result<(R, String)> {
    // QEMU connects to us: there is no moment at which its port is not there yet.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let socket = format!("socket,id=eye,host={},port={}", address.ip(), address.port());
    let arguments = ["-chardev", &socket, "-mon", "chardev=eye,mode=control"].map(str::to_owned);
    thread::scope(|scope| {
        let eye = scope.spawn(|| look(&listener.accept()?.0, wanted));
        let booted = boot(arguments);
        // A QEMU that did not start has not connected. (If it has, this stays in the queue.)
        drop(TcpStream::connect(address));
        let text = eye.join().map_err(|_| anyhow!("the thread panicked"))?;
        Ok((booted, text.context("asking for the screen")?))
    })
}

/// The text on the screen behind this monitor (QMP), once it shows `wanted`, or at QEMU's end.
fn look(mut monitor: &TcpStream, wanted: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let picture = folder.path().join("screen.ppm");
    let mut replies = BufReader::new(monitor);
    // Whether it was done; not if QEMU has ended instead.
    let mut execute = |command: Value| -> Result<bool> {
        let mut reply = String::new();
        if writeln!(monitor, "{command}").is_err() {
            return Ok(false);
        }
        loop {
            reply.clear();
            match replies.read_line(&mut reply) {
                Ok(1..) if reply.contains("\"return\"") => return Ok(true),
                Ok(1..) if reply.contains("\"error\"") => bail!("{command}: {reply}"),
                // The greeting, or an event.
                Ok(1..) => {}
                Ok(0) | Err(_) => return Ok(false),
            }
        }
    };
    let dump = json!({ "execute": "screendump", "arguments": { "filename": &picture } });
    let mut text = String::new();
    let mut runs = execute(json!({ "execute": "qmp_capabilities" }))?;
    while runs && !text.contains(wanted) {
        // The pace only: QEMU answers when the picture is complete.
        thread::sleep(Duration::from_millis(500));
        runs = execute(dump.clone())?;
        // The firmware's may be smaller than any screen of the kernel's.
        if let Ok(new) = fs::read(&picture).map_err(Into::into).and_then(|ppm| text_of(&ppm)) {
            text = new;
        }
    }
    // A picture for the documents: see CONTRIBUTING.md.
    let kept = env::var_os("TESTS_SCREEN").map(PathBuf::from).filter(|_| runs);
    if let Some(file) = kept {
        let png = json!({ "filename": file, "format": "png" });
        execute(json!({ "execute": "screendump", "arguments": png }))?;
    }
    if runs {
        execute(json!({ "execute": "quit" }))?;
    }
    Ok(text)
}
