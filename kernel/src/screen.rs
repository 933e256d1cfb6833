//! The screen, where the loader gives a framebuffer: it shows the log.
//!
//! Its lock is the serial port's: [`log`](mod@crate::log) writes to both. Code that breaks into
//! that lock writes past it here, too, since a grid is made of atomics.
//!
//! `unsafe` in this module: the framebuffer.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use bootloader_api::{BootInfo, info::FrameBufferInfo};
use spin::Once;
use textmode::{Grid, Layout, Terminal};

static GRID: Grid = Grid::new();

/// Written once, by [`init`].
static LAYOUT: Once<Layout> = Once::new();

/// Where the framebuffer is mapped. Written before other CPUs run, so Relaxed everywhere.
static FRAMEBUFFER: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Takes over the loader's framebuffer, if there is one. Once, on the BSP, before others run.
/// `Err`: a description that fits no screen, so none is used.
pub(crate) fn init(boot_info: &mut BootInfo) -> Result<(), FrameBufferInfo> {
    let Some(framebuffer) = boot_info.framebuffer.take() else {
        return Ok(());
    };
    let info = framebuffer.info();
    let layout = Layout::new(&info).ok_or(info)?;
    FRAMEBUFFER.store(framebuffer.into_buffer().as_mut_ptr(), Ordering::Relaxed);
    LAYOUT.call_once(|| layout);
    Ok(())
}

/// Where the framebuffer is mapped, and how many bytes of it are written to.
pub(crate) fn framebuffer() -> Option<(*mut u8, usize)> {
    let layout = LAYOUT.get()?;
    Some((FRAMEBUFFER.load(Ordering::Relaxed), layout.bytes()))
}

/// From now on it is mapped here. Draws everything, and what the loader has left in black.
///
/// # Safety
/// It is, for good, and writable.
pub(crate) unsafe fn move_to(framebuffer: *mut u8) {
    FRAMEBUFFER.store(framebuffer, Ordering::Relaxed);
    with(|screen| screen.redraw());
}

/// Rows of text; 0 without a screen.
pub(crate) fn rows() -> usize {
    LAYOUT.get().map_or(0, Layout::rows)
}

/// Calls `f` with the screen, if there is one. With the serial port's lock, or breaking into it.
pub(crate) fn with(f: impl FnOnce(&mut Terminal<'_, fn(usize, &[u8])>)) {
    if let Some(layout) = LAYOUT.get() {
        f(&mut Terminal::new(&GRID, layout, draw));
    }
}

fn draw(at: usize, bytes: &[u8]) {
    let framebuffer = FRAMEBUFFER.load(Ordering::Relaxed);
    // SAFETY: `LAYOUT` is there, so the framebuffer is, and its size has been checked.
    let at = unsafe { framebuffer.add(at) };
    // SAFETY: as above; nothing else reads it or refers to it.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
}
